"""A server for development and tests that speaks TF Serving's gRPC API.

PredictionService (Predict, GetModelMetadata), ModelService (GetModelStatus) and the standard
health service, for one model. Not for production: Python handles each request, there is no
server-side batching, no REST and no access control. TF Serving is what production runs.
"""

import concurrent.futures
import threading

from tfgpr.errors import InputError
from tfgpr.serving import apis
from tfgpr.serving.live import LiveVersions
from tfgpr.serving.loaded import RequestError
from tfgpr.serving.versions import newest


class LocalServer:
    """Serves the newest versions in a folder, and follows the folder as it changes.

        with LocalServer("models/tfgpr", port=8500) as server:
            ...  # RestoreClient(f"localhost:{server.port}")

    A new version is loaded and warmed up beside the old one, then takes its place; the old
    one is unloaded when its last request is answered. Removing the newest version rolls back.

    Args:
      base: folder of the versions.
      model: the model's name.
      host: address to listen on; by default this machine alone can connect.
      port: 0: any free one; see the attribute `port`.
      poll_seconds: time between looks at the folder; 0: look only at the start.
      num_versions: how many of the newest versions are served.
      workers: requests handled at a time.
      warm_up: replay each version's warm-up requests.
      log: called with a line of text when a version comes or goes, or the folder is unreadable.
    Raises:
      InputError: a folder without a version; a port that is taken; a missing extra.
    """

    def __init__(
        self,
        base,
        model="tfgpr",
        host="127.0.0.1",
        port=0,
        poll_seconds=1.0,
        num_versions=1,
        workers=16,
        warm_up=True,
        log=print,
    ):
        self._apis = apis.load(
            "grpc", "prediction_service", "model_service", "health", "health_service"
        )
        newest(base)  # or there is nothing to serve
        self._poll_seconds = poll_seconds
        self._log = log
        self._stopping = threading.Event()
        self._models = LiveVersions(base, model, num_versions, warm_up, log)
        pool = concurrent.futures.ThreadPoolExecutor(workers)
        options = [
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),
        ]
        self._server = self._apis.grpc.server(pool, options=options)
        self._add_services()
        try:
            self.port = self._server.add_insecure_port(f"{host}:{port}")
        except RuntimeError as error:
            raise InputError(f"Cannot listen on {host}:{port}: {error}.") from error
        self._poller = threading.Thread(target=self._poll, daemon=True)

    def _add_services(self):
        prediction, model = _servicers(self._models)
        self._health = self._apis.health.HealthServicer()
        self._apis.prediction_service.add_PredictionServiceServicer_to_server(
            prediction, self._server
        )
        self._apis.model_service.add_ModelServiceServicer_to_server(model, self._server)
        self._apis.health_service.add_HealthServicer_to_server(self._health, self._server)

    def start(self):
        """Loads what is there, then lets requests in."""
        self._look()
        self._server.start()
        if self._poll_seconds > 0:
            self._poller.start()
        return self

    def wait(self):
        """Returns when the server has been stopped."""
        self._server.wait_for_termination()

    def stop(self, grace=30.0):
        """Lets no further request in, waits up to `grace` seconds for those under way."""
        self._stopping.set()
        self._server.stop(grace).wait()
        if self._poller.is_alive():
            self._poller.join()
        self._models.close()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def _poll(self):
        said = None
        while not self._stopping.wait(self._poll_seconds):
            problem = None
            try:
                self._look()
            except OSError as error:  # the folder may be there again at the next look
                problem = f"Versions cannot be looked for: {error}"
                if problem != said:
                    self._log(problem)
            said = problem

    def _look(self):
        self._models.follow()
        status = apis.load("health_messages").health_messages.HealthCheckResponse
        serving = status.SERVING if self._models.available() else status.NOT_SERVING
        for service in ("", "tensorflow.serving.PredictionService"):
            self._health.set(service, serving)


def _servicers(models):
    """PredictionService and ModelService over `models`."""
    needed = apis.load(
        "grpc", "prediction_service", "model_service", "model_status", "model_metadata"
    )

    def answered(answer):
        def handle(self, request, context):
            try:
                return answer(request, context)
            except RequestError as error:
                return context.abort(needed.grpc.StatusCode[error.code], str(error))

        return handle

    def predict(request, context):
        with models.use(request.model_spec) as loaded:
            return loaded.predict(request, context.time_remaining())

    def metadata(request, context):
        del context
        if list(request.metadata_field) != ["signature_def"]:
            raise RequestError("INVALID_ARGUMENT", "Expected metadata_field: signature_def.")
        with models.use(request.model_spec) as loaded:
            number, signatures = loaded.version, loaded.signatures
        response = needed.model_metadata.GetModelMetadataResponse()
        response.model_spec.name = models.model
        response.model_spec.version.value = number
        packed = needed.model_metadata.SignatureDefMap()
        for name, signature in signatures.items():
            packed.signature_def[name].CopyFrom(signature)
        response.metadata["signature_def"].Pack(packed)
        return response

    def status(request, context):
        del context
        spec = request.model_spec
        known = dict(models.states) if spec.name == models.model else {}
        if spec.HasField("version"):
            known = {number: known[number] for number in known if number == spec.version.value}
        if not known:
            raise RequestError("NOT_FOUND", f"Could not find any versions of model {spec.name}")
        response = needed.model_status.GetModelStatusResponse()
        for number, (state, message) in sorted(known.items()):
            entry = response.model_version_status.add(version=number)
            entry.state = needed.model_status.ModelVersionStatus.State.Value(state)
            entry.status.error_code = 2 if message else 0  # UNKNOWN
            entry.status.error_message = message
        return response

    class Prediction(needed.prediction_service.PredictionServiceServicer):
        Predict = answered(predict)
        GetModelMetadata = answered(metadata)

    class Model(needed.model_service.ModelServiceServicer):
        GetModelStatus = answered(status)

    return Prediction(), Model()
