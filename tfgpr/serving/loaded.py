"""One version of an export, running in a C++ Session as TF Serving runs it."""

import math
import pathlib
import threading

import numpy as np
import tensorflow as tf

from tfgpr.serving import apis
from tfgpr.serving.export import WARMUP
from tfgpr.serving.module import DEFAULT

_LONGEST_MESSAGE = 1024  # characters, of an error
_NO_DEADLINE = 1e6  # seconds; gRPC gives centuries where a client set none


class RequestError(Exception):
    """A request that fails: the name of a gRPC status code, and what to say."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class LoadedVersion:
    """A SavedModel in a Session of its own.

    `begin` and `end` enclose each request; `retire` closes the Session after the last one.

    Args:
      path: the version's folder.
      version: its number.
      warm_up: replay the requests of `assets.extra` before anybody else's.
    """

    def __init__(self, path, version, warm_up=True):
        self.version = version
        self._apis = apis.load("predict", "prediction_log")
        self._graph = tf.Graph()
        with self._graph.as_default():
            self._session = tf.compat.v1.Session(graph=self._graph)
            meta_graph = tf.compat.v1.saved_model.load(self._session, ["serve"], str(path))
        self.signatures = {
            name: signature
            for name, signature in meta_graph.signature_def.items()
            if signature.method_name
        }
        self._lock = threading.Lock()
        self._under_way = 0
        self._retired = None
        if warm_up:
            self._warm_up(pathlib.Path(path) / WARMUP)

    def _warm_up(self, path):
        if not path.is_file():
            return
        for record in tf.compat.v1.io.tf_record_iterator(str(path)):
            log = self._apis.prediction_log.PredictionLog.FromString(record)
            self.predict(log.predict_log.request)

    def begin(self):
        """A request is under way."""
        with self._lock:
            self._under_way += 1

    def end(self):
        """A request has been answered."""
        with self._lock:
            self._under_way -= 1
        self._close_if_done()

    def retire(self, closed):
        """Closes the Session once no request is under way, then calls `closed()`."""
        self._retired = closed
        self._close_if_done()

    def _close_if_done(self):
        with self._lock:
            if self._retired is None or self._under_way:
                return
            closed, self._retired = self._retired, None
        self._session.close()
        closed()

    def predict(self, request, seconds=None):
        """Answers a PredictRequest.

        Args:
          request: `tensorflow.serving.PredictRequest`.
          seconds: to answer in; None: any time.
        Returns:
          `tensorflow.serving.PredictResponse`.
        Raises:
          RequestError: an unknown signature, wrong inputs, an expired deadline, a failed run.
        """
        name = request.model_spec.signature_name or DEFAULT
        if name not in self.signatures:
            raise RequestError("FAILED_PRECONDITION", f'Serving signature key "{name}" not found.')
        signature = self.signatures[name]
        fetches = _fetches(signature, request.output_filter)
        outputs = self._run(fetches, _feeds(signature, request.inputs), seconds)
        response = self._apis.predict.PredictResponse()
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = self.version
        response.model_spec.signature_name = name
        for alias, value in outputs.items():
            response.outputs[alias].CopyFrom(tf.make_tensor_proto(value))
        return response

    def _run(self, fetches, feeds, seconds):
        options = None
        if seconds is not None and seconds < _NO_DEADLINE:
            if seconds <= 0:
                raise RequestError("DEADLINE_EXCEEDED", "The deadline had passed before the run.")
            options = tf.compat.v1.RunOptions(timeout_in_ms=math.ceil(1000 * seconds))
        try:
            return self._session.run(fetches, feeds, options=options)
        except tf.errors.OpError as error:
            codes = {each.value[0]: each.name for each in apis.load("grpc").grpc.StatusCode}
            message = error.message.split("\n\nOriginal stack trace")[0]
            raise RequestError(codes[error.error_code], message[:_LONGEST_MESSAGE]) from error
        except ValueError as error:  # of the wrong shape: Python notices before C++ does
            raise RequestError("INVALID_ARGUMENT", str(error)) from error


def _fetches(signature, output_filter):
    """dict from alias to tensor name: all outputs, or those that the request asks for."""
    unknown = set(output_filter) - set(signature.outputs)
    if unknown or len(set(output_filter)) != len(output_filter):
        raise RequestError(
            "INVALID_ARGUMENT",
            f"Expected each output at most once, of {sorted(signature.outputs)}. Received: "
            f"{list(output_filter)}.",
        )
    return {alias: signature.outputs[alias].name for alias in output_filter or signature.outputs}


def _feeds(signature, inputs):
    """dict from tensor name to array; inputs left out take the signature's defaults."""
    given = dict(inputs)
    defaults = getattr(signature, "defaults", {})  # TensorFlow 2.15 does not know any
    given = {**{alias: defaults[alias] for alias in defaults}, **given}
    if set(given) != set(signature.inputs):
        raise RequestError(
            "INVALID_ARGUMENT",
            f"Expected the inputs {sorted(signature.inputs)}. Received: {sorted(inputs)}.",
        )
    feeds = {}
    for alias, proto in given.items():
        info = signature.inputs[alias]
        if proto.dtype != info.dtype:
            expected, received = (tf.as_dtype(each).name for each in (info.dtype, proto.dtype))
            raise RequestError(
                "INVALID_ARGUMENT", f"Expected {alias} as {expected}. Received: {received}."
            )
        feeds[info.name] = _array(alias, proto)
    return feeds


def _array(alias, proto):
    try:
        return np.asarray(tf.make_ndarray(proto))
    except (TypeError, ValueError) as error:
        raise RequestError("INVALID_ARGUMENT", f"{alias} is no tensor: {error}") from error
