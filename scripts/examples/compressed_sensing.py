"""Compressed sensing: a face from random projections, far fewer than it has pixels.

python scripts/examples/compressed_sensing.py --output=results/sensed --measurements=500
"""

import keras
import tensorflow as tf
from absl import flags

import tfgpr
from tfgpr import commands, files, images, metrics

FLAGS = flags.FLAGS
flags.DEFINE_string("output", None, "New folder for the picture.")
flags.DEFINE_integer("measurements", 500, "Numbers in y.", lower_bound=1)
flags.DEFINE_integer("iterations", 200, "Steps of the search.", lower_bound=1)
flags.DEFINE_boolean("overwrite", False, "Replace the picture in --output.")
flags.mark_flags_as_required(["output"])


@keras.saving.register_keras_serializable(package="examples")
class RandomProjections(tfgpr.operators.Operator):
    """A x = M x, `[batch, measurements]`, M dense with Gaussian entries N(0, 1/size). Linear."""

    def __init__(self, measurements, image_shape, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.measurements, self.image_shape, self.seed = measurements, tuple(image_shape), seed
        size = self.image_shape[0] * self.image_shape[1] * self.image_shape[2]
        matrix = tf.random.stateless_normal([size, measurements], (seed, 0))
        self.matrix = matrix / tf.sqrt(tf.cast(size, tf.float32))

    def call(self, images):
        return tf.reshape(images, [-1, self.matrix.shape[0]]) @ self.matrix

    def get_config(self):
        own = {name: getattr(self, name) for name in ("measurements", "image_shape", "seed")}
        return {**super().get_config(), **own}


def restore(prior, clean, measurements, iterations):
    """The `Restoration` of clean images `[batch, height, width, 3]` from their projections."""
    operator = RandomProjections(measurements, clean.shape[1:])
    task = tfgpr.tasks.custom("compressed_sensing", operator, observed_range=(-10.0, 10.0))
    method = task.default.with_iterations(iterations)
    return tfgpr.Restorer(prior, task, method).restore(task.corruption(clean))


def main(_):
    files.require_free(FLAGS.output, FLAGS.overwrite)
    face = tfgpr.example_face()
    result = restore(tfgpr.load_prior(), face, FLAGS.measurements, FLAGS.iterations)
    print(f"{result.observed.size} measurements of {face.size} values")
    print(f"restored: {metrics.psnr(result.images, face)[0]:.2f} dB")
    images.write_png(f"{FLAGS.output}/comparison.png", result.plot(face))


if __name__ == "__main__":
    commands.run(main)
