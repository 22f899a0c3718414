"""An export of tfgpr as a model of Beam's RunInference."""

import hashlib
import re

import numpy as np
from apache_beam.io.filesystems import FileSystems
from apache_beam.ml.inference.base import ModelHandler

from tfgpr.bulk import storage
from tfgpr.errors import InputError
from tfgpr.serving import metadata

_OUTPUTS = ("restored", "loss")


class SavedModelHandler(ModelHandler):
    """Runs one signature of an export: dicts of arrays in, dicts of arrays out.

    An example maps the signature's inputs (`observed`, and `known` for inpainting) to one
    image each, without a batch axis; a prediction has `restored` `[height, width, 3]` in
    [0, 1] and `loss`, or `error`, the reason why the graph refused this image. An image that
    is refused costs its batch mates time, never their answer.

    Every run has exactly `batch_size` rows; missing ones repeat the last. So there is one
    shape, and the convolutions round every image alike whatever else is in its batch.

    Args:
      path: of a version's folder, on any file system that TensorFlow reads.
      signature: its name, such as "super_resolution".
      batch_size: rows of each run.
    """

    def __init__(self, path, signature, batch_size=32):
        super().__init__()
        self.path = path
        self.signature = signature
        self.batch_size = batch_size

    def load_model(self):
        """Loads the export; RunInference does so once per process, for all of its threads."""
        import tensorflow as tf

        return tf.saved_model.load(self.path)

    def batch_elements_kwargs(self):
        """Batches are full, but the last one of a bundle."""
        return {"min_batch_size": self.batch_size, "max_batch_size": self.batch_size}

    def get_num_bytes(self, batch):
        """Bytes of the images of a batch."""
        return sum(array.nbytes for example in batch for array in example.values())

    def get_metrics_namespace(self):
        """Where Beam counts inferences, batches and their time."""
        return "tfgpr.bulk.inference"

    def run_inference(self, batch, model, inference_args=None):
        """Predictions of a batch, in its order."""
        del inference_args
        import tensorflow as tf

        try:
            return self._run(batch, model)
        except tf.errors.InvalidArgumentError as error:
            if len(batch) == 1:
                return [{"error": _reason(error)}]
        return [self.run_inference([example], model)[0] for example in batch]

    def _run(self, batch, model):
        import tensorflow as tf

        padded = [*batch, *[batch[-1]] * (self.batch_size - len(batch))]
        inputs = {
            name: tf.constant(np.stack([example[name] for example in padded])) for name in batch[0]
        }
        found = model.signatures[self.signature](**inputs)
        arrays = {name: found[name].numpy() for name in _OUTPUTS}
        return [{name: array[i] for name, array in arrays.items()} for i in range(len(batch))]


def _reason(error):
    from tfgpr.serving.client import core_of

    return core_of(error.message).splitlines()[0]


def find_version(model):
    """The folder of an export: `model` itself, or its version of the highest number.

    Raises:
      InputError: there is none, or it cannot be read.
    """
    model = model.rstrip("/")
    if storage.first_match(storage.join(storage.quoted(model), "saved_model.pb")):
        return model
    found = {}
    for path in storage.matches(storage.join(storage.quoted(model), "*/saved_model.pb")):
        folder = path.rpartition("/")[0]
        if re.fullmatch("[1-9][0-9]*", folder.rpartition("/")[2]):
            found[int(folder.rpartition("/")[2])] = folder
    if not found:
        raise InputError(
            f"Expected an export, or a folder of its versions. Received: {model}, which holds "
            "none; python export/export_savedmodel.py --output=FOLDER writes one."
        )
    return found[max(found)]


def describe(folder):
    """What the export says about itself (metadata.json), and a digest of its graph and weights.

    Raises:
      InputError: it is no export of tfgpr.
    """
    about = metadata.parse(storage.read(storage.join(folder, metadata.FILE)), folder)
    digest = hashlib.sha256()
    variables = storage.matches(storage.join(storage.quoted(folder), "variables/variables*"))
    for path in [storage.join(folder, "saved_model.pb"), *sorted(variables)]:
        with FileSystems.open(path) as file:
            while chunk := file.read(2**22):
                digest.update(chunk)
    return about, digest.hexdigest()


def require_whole(folder, task):
    """Raises InputError where the graph or the weights of an export are damaged.

    It reads them; loading, which each process does once for itself, takes ten times as long.
    """
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2

    try:
        with FileSystems.open(storage.join(folder, "saved_model.pb")) as file:
            graphs = saved_model_pb2.SavedModel.FromString(file.read()).meta_graphs
        if not any(task in graph.signature_def for graph in graphs):
            raise ValueError(f"no signature {task}")
        weights = tf.train.load_checkpoint(storage.join(folder, "variables/variables"))
        for name in weights.get_variable_to_shape_map():
            weights.get_tensor(name)
    except Exception as error:  # TensorFlow's are of many kinds; one is an IndexError
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"Expected a whole export. Received: {folder}, which cannot be read ({reason}); export "
            "it again, or copy it anew."
        ) from error
