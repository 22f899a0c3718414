"""Your own measurement operator: a camera's color filter, one of R, G, B per pixel.

python scripts/examples/own_operator.py --output=results/demosaicked
"""

import keras
import numpy as np
import tensorflow as tf
from absl import flags

import tfgpr
from tfgpr import commands, files, images, metrics

FLAGS = flags.FLAGS
flags.DEFINE_string("output", None, "New folder for the picture.")
flags.DEFINE_integer("iterations", 200, "Steps of the search.", lower_bound=1)
flags.DEFINE_boolean("overwrite", False, "Replace the picture in --output.")
flags.mark_flags_as_required(["output"])


@keras.saving.register_keras_serializable(package="examples")
class BayerFilter(tfgpr.operators.Operator):
    """A x: R and G on even rows, G and B on odd ones, `[batch, height, width, 1]`. Linear."""

    def call(self, images):
        _, height, width, channels = images.shape
        passes = np.zeros([height, width, channels], np.float32)
        passes[0::2, 0::2, 0] = passes[0::2, 1::2, 1] = 1
        passes[1::2, 0::2, 1] = passes[1::2, 1::2, 2] = 1
        return tf.reduce_sum(images * passes, axis=-1, keepdims=True)


def restore(prior, clean, iterations):
    """The `Restoration` of clean images seen through the filter."""
    task = tfgpr.tasks.custom("demosaicking", BayerFilter())
    method = task.default.with_iterations(iterations)
    return tfgpr.Restorer(prior, task, method).restore(task.corruption(clean))


def main(_):
    files.require_free(FLAGS.output, FLAGS.overwrite)
    face = tfgpr.example_face()
    result = restore(tfgpr.load_prior(), face, FLAGS.iterations)
    print(f"G(z): {metrics.psnr(result.generated, face)[0]:.2f} dB")
    print(f"restored: {metrics.psnr(result.images, face)[0]:.2f} dB")
    images.write_png(f"{FLAGS.output}/comparison.png", result.plot(face))


if __name__ == "__main__":
    commands.run(main)
