"""Your own GAN as a prior: any Keras generator and discriminator, Gaussian z, 32x32 pixels.

python scripts/examples/own_gan.py --output=results/disks
"""

import keras
import numpy as np
from absl import flags
from keras.layers import Dense, Flatten, Reshape

import tfgpr
from tfgpr import commands, files, images, metrics

FLAGS = flags.FLAGS
flags.DEFINE_string("output", None, "New folder for the picture and the prior.")
flags.DEFINE_integer("epochs", 40, "Of training, on 1,024 pictures.", lower_bound=1)
flags.DEFINE_integer("iterations", 200, "Steps of the search.", lower_bound=1)
flags.DEFINE_boolean("overwrite", False, "Replace the files in --output.")
flags.mark_flags_as_required(["output"])


def disks(count, size=32, seed=0):
    """Soft disks of random color, place and radius: `[count, size, size, 3]` in [0, 1]."""
    rng = np.random.default_rng(seed)
    color, place = rng.random((2, count, 1, 1, 3)), rng.uniform(0.3, 0.7, (count, 2, 1, 1))
    y, x = np.mgrid[:size, :size] / size
    distance = np.hypot(y - place[:, 0], x - place[:, 1]) - rng.uniform(0.1, 0.3, (count, 1, 1))
    inside = 1 / (1 + np.exp(40 * distance))[..., None]
    return np.float32(inside * color[0] + (1 - inside) * color[1])


def train(epochs, dim=8):
    """The `GanPrior` after so many epochs. G: z -> [-1, 1]; D: [-1, 1] -> logits."""
    keras.utils.set_random_seed(0)
    hidden = [Dense(128, "swish"), Dense(256, "swish"), Dense(32 * 32 * 3, "tanh")]
    generator = keras.Sequential([keras.Input([dim]), *hidden, Reshape([32, 32, 3])])
    hidden = [Flatten(), Dense(256, "swish"), Dense(1)]
    discriminator = keras.Sequential([keras.Input([32, 32, 3]), *hidden])
    gan = tfgpr.GAN(generator, discriminator, "gaussian", augment=False, ema_decay=0.99)
    gan.compile(keras.optimizers.Adam(1e-3, 0.5), keras.optimizers.Adam(1e-3, 0.5))
    gan.fit(disks(1024), batch_size=64, epochs=epochs, verbose=0)
    return tfgpr.GanPrior.from_gan(gan, crop=None)


def main(_):
    files.require_free(FLAGS.output, FLAGS.overwrite)
    prior, clean = train(FLAGS.epochs), disks(4, seed=1)
    task = tfgpr.tasks.super_resolution()
    method = task.default.with_iterations(FLAGS.iterations)
    result = tfgpr.Restorer(prior, task, method).restore(task.corruption(clean))
    print(f"restored: {metrics.psnr(result.images, clean).numpy().mean():.2f} dB")
    prior.save(f"{FLAGS.output}/prior", FLAGS.overwrite)
    images.write_png(f"{FLAGS.output}/comparison.png", result.plot(clean))


if __name__ == "__main__":
    commands.run(main)
