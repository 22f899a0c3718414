"""Restoring through a server: gRPC client of TF Serving."""

import concurrent.futures
import json
import random
import re
import time

import numpy as np
import tensorflow as tf

from tfgpr.errors import InputError
from tfgpr.images import FACE_CROP, as_measurements
from tfgpr.restoration import Restoration
from tfgpr.serving import apis, metadata
from tfgpr.serving.module import CROP, PNG, SETTINGS
from tfgpr.serving.versions import LAST
from tfgpr.tasks import TASKS

_MESSAGE_LIMIT = 4 * 2**20 - 2**16  # bytes: gRPC's usual limit, less room for names
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 5.0  # seconds, between retries


class RestoreClient:
    """Restores images on a server that serves an export of tfgpr.

        with RestoreClient("localhost:8500") as client:
            result = client.restore("inpainting", observed, known=known)
        result.plot()

    Safe to use from several threads.

    Args:
      target: "HOST:PORT" of the gRPC service, or "unix:PATH".
      model: name of the model on the server.
      version: number of the version; None: the newest that is served.
      deadline: seconds that one batch may take, retries included.
      batch_size: images in one request at most; fewer where a request of `restore` or its answer
        would pass gRPC's usual limit of 4 MB. (`restore_png` always sends so many: how large
        encoded answers are, nobody knows before.)
      concurrency: requests under way at a time.
      retries: how often a request is repeated while the server is UNAVAILABLE, after waits
        that double. No other failure is repeated.
      credentials: `grpc.ChannelCredentials`; None: no encryption.
    Raises:
      InputError: the extra `[serving]` is missing; an address that is none; numbers below 1; a
        version that is none.
    """

    def __init__(
        self,
        target,
        model="tfgpr",
        version=None,
        deadline=120.0,
        batch_size=16,
        concurrency=1,
        retries=4,
        credentials=None,
    ):
        if not re.fullmatch(r"unix:.+|[^/\s]+:\d+", target):
            raise InputError(f"Expected an address as HOST:PORT. Received: {target!r}.")
        for name, value in (("batch_size", batch_size), ("concurrency", concurrency)):
            if value < 1:
                raise InputError(f"Expected {name} from 1 on. Received: {value!r}.")
        if not deadline > 0:
            raise InputError(f"Expected a deadline in seconds, above 0. Received: {deadline!r}.")
        if version is not None and not 1 <= version <= LAST:
            raise InputError(f"Expected a version from 1 on, to {LAST}. Received: {version!r}.")
        self.target = target
        self.model = model
        self.version = version
        self.deadline = deadline
        self.batch_size = batch_size
        self.concurrency = concurrency
        self.retries = retries
        self._apis = apis.load(
            "grpc", "predict", "prediction_service", "model_service", "model_status",
            "model_metadata",
        )  # fmt: skip
        self._channel = self._open(credentials)
        self._predictions = self._apis.prediction_service.PredictionServiceStub(self._channel)
        self._models = self._apis.model_service.ModelServiceStub(self._channel)
        self._known_signatures = None

    def _open(self, credentials):
        options = [
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
            # A restarted server is found again within the waits between retries.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 2000),
        ]
        if credentials is not None:
            return self._apis.grpc.secure_channel(self.target, credentials, options)
        return self._apis.grpc.insecure_channel(self.target, options)

    def close(self):
        """Closes the connection."""
        self._channel.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def restore(self, task, observed, progress=None, **conditions):
        """Restores a batch of any size, split into requests.

        Args:
          task: name of the task, such as "inpainting".
          observed: y, `[batch, ...]` or one observation, in [0, 1] or uint8.
          progress: called as `progress(done, images)` after each request.
          **conditions: `known` for inpainting: `[batch or 1, height, width, 1]`.
        Returns:
          A `Restoration` of NumPy arrays (without `trace`).
        Raises:
          InputError: a task that the server does not have; wrong shapes; what the server
            refuses; no server at that address; an expired deadline.
        """
        signature = self._signature(task)
        inputs = self._inputs(signature, observed, conditions)
        size = min(self.batch_size, _rows_in_a_message(signature))
        found = self._predict_all(task, inputs, size, progress)
        return Restoration(
            latent=found["latent"],
            loss=found["loss"],
            generated=found["generated"],
            images=found["restored"],
            observed=inputs["observed"],
        )

    def restore_png(self, task, observed, progress=None, **conditions):
        """Restores encoded images: the signatures `<task>_png`.

        Args:
          task, progress: as in `restore`.
          observed: a list of PNG files, as bytes.
          **conditions: `known`: a list of PNG files, white where a pixel was observed.
        Returns:
          dict of `restored_bytes` and `generated_bytes` (lists of PNG files), `latent` and
          `loss`.
        Raises:
          InputError: as `restore`.
        """
        signature = self._signature(task + PNG)
        inputs = {f"{name}_bytes": list(value) for name, value in conditions.items()}
        inputs["observed_bytes"] = list(observed)
        _check_names(signature, inputs)
        inputs = {name: np.array(value, object) for name, value in inputs.items()}
        found = self._predict_all(task + PNG, inputs, self.batch_size, progress)
        return {
            name: list(value) if name.endswith("_bytes") else value for name, value in found.items()
        }

    def image_size(self, task):
        """Side of the images that `task` restores, in pixels."""
        return _shape(self._signature(task).outputs["restored"])[0]

    def crop(self):
        """What to cut from a photograph: `GanPrior.crop` of the prior that is served.

        An export that does not tell, as older ones, is taken for one of aligned CelebA.
        """
        if CROP not in self._served():
            return FACE_CROP
        answer = self._predict(CROP, {"width": np.ones([1])}, slice(None))
        return float(answer["side"][0]) or None

    def task(self, name):
        """One of the paper's tasks with the settings that it is served with, to observe with.

        An export that does not tell them, as older ones, is taken for one with the defaults.

        Raises:
          InputError: the server does not have it, or it is a task of somebody's own; settings that
            this tfgpr does not know.
        """
        self._signature(name)
        if name not in TASKS:
            raise InputError(f"Expected a task of {', '.join(TASKS)}. Received: {name!r}.")
        if SETTINGS not in self._served():
            return TASKS[name]()
        answer = self._predict(SETTINGS, {"row": np.zeros([1], np.float32)}, slice(None))
        return metadata.made_with(name, json.loads(answer["settings"][0])[name], self.target)

    def signatures(self):
        """dict from each signature of the served version to its SignatureDef."""
        messages = self._apis.model_metadata
        request = messages.GetModelMetadataRequest(metadata_field=["signature_def"])
        self._address(request.model_spec)
        response = self._call(self._predictions.GetModelMetadata, request)
        packed = messages.SignatureDefMap()
        response.metadata["signature_def"].Unpack(packed)
        return dict(packed.signature_def)

    def status(self):
        """dict from each version that the server knows to its state, such as "AVAILABLE"."""
        request = self._apis.model_status.GetModelStatusRequest()
        self._address(request.model_spec)
        response = self._call(self._models.GetModelStatus, request)
        states = self._apis.model_status.ModelVersionStatus.State
        return {each.version: states.Name(each.state) for each in response.model_version_status}

    def _address(self, spec):
        spec.name = self.model
        if self.version is not None:
            spec.version.value = self.version

    def _served(self):
        if self._known_signatures is None:
            self._known_signatures = self.signatures()
        return self._known_signatures

    def _signature(self, name):
        served = self._served()
        if name not in served:
            raise InputError(
                f"Expected a task that {self.target} serves: {', '.join(sorted(served))}. "
                f"Received: {name!r}."
            )
        return served[name]

    def _inputs(self, signature, observed, conditions):
        _check_names(signature, {"observed": observed, **conditions})
        shape = _shape(signature.inputs["observed"])
        # Which values a task takes, the server knows.
        arrays = {"observed": as_measurements(observed, shape, -np.inf, np.inf, "observed")}
        count = len(arrays["observed"])
        for name, value in conditions.items():
            value = np.asarray(value)
            value = value.astype(np.float32) if value.dtype == bool else value
            value = as_measurements(value, _shape(signature.inputs[name]), name=name)
            if len(value) not in (1, count):
                raise InputError(
                    f"Expected {name} for 1 or {count} images. Received: {len(value)}."
                )
            arrays[name] = np.broadcast_to(value, (count, *value.shape[1:]))
        return arrays

    def _predict_all(self, signature, inputs, size, progress):
        count = len(next(iter(inputs.values())))
        if not all(len(value) == count and count for value in inputs.values()):
            raise InputError("Expected as many of each input, and at least one.")
        firsts = range(0, count, size)
        done, answers = 0, {}
        pool = concurrent.futures.ThreadPoolExecutor(self.concurrency)
        try:
            futures = {
                pool.submit(self._predict, signature, inputs, slice(first, first + size)): first
                for first in firsts
            }
            for future in concurrent.futures.as_completed(futures):
                answer = answers[futures[future]] = future.result()
                done += len(answer["loss"])
                if progress is not None:
                    progress(done, count)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        parts = [answers[first] for first in firsts]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _predict(self, signature, inputs, rows):
        request = self._apis.predict.PredictRequest()
        self._address(request.model_spec)
        request.model_spec.signature_name = signature
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(value[rows]))
        response = self._call(self._predictions.Predict, request)
        return {name: tf.make_ndarray(value) for name, value in response.outputs.items()}

    def _call(self, method, request):
        end = time.monotonic() + self.deadline
        wait, left = _FIRST_WAIT, self.retries
        while True:
            try:
                return method(request, timeout=max(0.0, end - time.monotonic()))
            except self._apis.grpc.RpcError as error:
                pause = wait * random.uniform(0.5, 1.5)  # or all clients would return at once
                unavailable = error.code() is self._apis.grpc.StatusCode.UNAVAILABLE
                if not unavailable or not left or time.monotonic() + pause > end:
                    self._explain(error)
                    raise
            time.sleep(pause)
            wait, left = min(2 * wait, _LONGEST_WAIT), left - 1

    def _explain(self, error):
        """Raises InputError for what the caller can put right."""
        name = error.code().name
        text = core_of(error.details() or "")
        messages = {
            "UNAVAILABLE": f"Expected a server at {self.target}. Received: no answer ({text}); "
            "check the address, and that the server runs.",
            "DEADLINE_EXCEEDED": f"Expected an answer within {self.deadline:g} s. Received: none; "
            "allow a longer deadline, or send fewer images at a time.",
            "NOT_FOUND": f"Expected a model that {self.target} serves. Received: {self.model!r}, "
            f"version {self.version or 'newest'} ({text}).",
            "INVALID_ARGUMENT": text,
            "FAILED_PRECONDITION": f"{self.target} cannot answer: {text}",
            "UNIMPLEMENTED": f"Expected TF Serving's API at {self.target}. Received: {text}; "
            "check the port (8500 is gRPC, 8501 REST).",
            "RESOURCE_EXHAUSTED": f"{self.target} is full or the message too large: {text}; "
            "send fewer images at a time.",
        }
        if name in messages:
            raise InputError(messages[name]) from error


def core_of(details):
    """What a check in the graph says, without the runtime's frame around it."""
    found = re.search(r"\[(Expected .*)\]", details)
    return found.group(1).replace("] [", " ") if found else details.strip()


def _check_names(signature, inputs):
    expected = sorted(signature.inputs)
    if sorted(inputs) != expected:
        raise InputError(f"Expected the inputs {expected}. Received: {sorted(inputs)}.")


def _shape(info):
    return tuple(dim.size for dim in info.tensor_shape.dim[1:])


def _rows_in_a_message(signature):
    """How many images fit a request, and their answers a response."""
    sides = (signature.inputs, signature.outputs)
    largest = max(
        sum(4 * int(np.prod(_shape(info), dtype=int)) for info in side.values()) for side in sides
    )
    return max(1, _MESSAGE_LIMIT // largest)
