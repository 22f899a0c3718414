"""How fast training is: for `scripts/train.py --measure_speed` and for the benchmark."""

import itertools

import tensorflow as tf

from tfgpr import machine, precision


def step_seconds(gan, batches, seconds=2.0):
    """Seconds of a training step, fetching its images included.

    Args:
      gan: a compiled `tfgpr.gan.GAN`; it is trained.
      batches: an endless iterator of images `[batch, size, size, 3]` in [0, 1].
      seconds: how long to try; the fastest run counts. Each is of `gan.r1_interval` steps, so
        that R1 has its share.
    """
    train = tf.function(lambda images: gan.train_step(images)["d_loss"])

    def run():
        for _ in range(gan.r1_interval):
            loss = train(next(batches))
        float(loss)  # waits for the device

    return machine.fastest(run, seconds, least=1) / gan.r1_interval


def measure(recipe, batches, dtype="auto"):
    """Times training steps of a recipe, with and without the input pipeline.

    Args:
      recipe: a `tfgpr.training.Recipe`.
      batches: the endless dataset that it would train on.
      dtype: what the networks compute in.
    Returns:
      dict: `dtype`; `images_per_second`; `pipeline_share`, the part of a step that is waiting
      for images; `matrix_share`, the rate of operations relative to
      `tfgpr.machine.matmul_rate`.
    """
    dtype = precision.resolve(dtype)
    gan = recipe.gan(recipe.prior(dtype))
    iterator = iter(batches)
    alone = step_seconds(gan, itertools.repeat(next(iterator)))
    whole = step_seconds(gan, iterator)
    # Forward, back to the weights, back to what was given; for D that on real and on generated
    # images, and G's own way back through it. R1, every `r1_interval` steps, is left out.
    work = 3 * machine.flops(gan.generator) + 7 * machine.flops(gan.discriminator)
    if gan.encoder:  # E, and G of its answer
        work += 3 * machine.flops(gan.encoder) + 3 * machine.flops(gan.generator)
    return {
        "dtype": dtype,
        "images_per_second": recipe.batch_size / whole,
        "pipeline_share": max(0.0, 1 - alone / whole),
        "matrix_share": recipe.batch_size
        * work
        / alone
        / machine.matmul_rate(dtype.removeprefix("mixed_")),
    }
