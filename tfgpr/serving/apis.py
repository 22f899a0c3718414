"""gRPC and TF Serving's protocols, imported only where they are used."""

import importlib
import types

from tfgpr.errors import InputError

_MODULES = {
    "grpc": "grpc",
    "predict": "tensorflow_serving.apis.predict_pb2",
    "prediction_service": "tensorflow_serving.apis.prediction_service_pb2_grpc",
    "model_service": "tensorflow_serving.apis.model_service_pb2_grpc",
    "model_status": "tensorflow_serving.apis.get_model_status_pb2",
    "model_metadata": "tensorflow_serving.apis.get_model_metadata_pb2",
    "prediction_log": "tensorflow_serving.apis.prediction_log_pb2",
    "health": "grpc_health.v1.health",
    "health_messages": "grpc_health.v1.health_pb2",
    "health_service": "grpc_health.v1.health_pb2_grpc",
}


def load(*names):
    """A namespace of the modules that `names` lists.

    Raises:
      InputError: the extra `[serving]` is not installed.
    """
    try:
        return types.SimpleNamespace(
            **{name: importlib.import_module(_MODULES[name]) for name in names}
        )
    except ImportError as error:
        raise InputError(
            f"Expected the extra [serving]. Received: no module {error.name}; "
            "pip install 'tfgpr[serving]', with the tensorflow-serving-api of your TensorFlow."
        ) from error
