"""How fast training is, and what it could be: `scripts/train.py --measure_speed`."""

import time

import tensorflow as tf

from tfgpr import machine, precision


def _seconds(function, repeats):
    for _ in range(2):  # traced, caches filled
        float(function())
    begun = time.perf_counter()
    for _ in range(repeats):
        float(function())
    return (time.perf_counter() - begun) / repeats


def measure(recipe, batches, dtype="auto", steps=20):
    """Times training steps of a recipe, with and without the input pipeline.

    Args:
      recipe: a `tfgpr.training.Recipe`.
      batches: the endless dataset that it would train on.
      dtype: what the networks compute in.
      steps: how many are timed; R1 is among every 16.
    Returns:
      dict: `images_per_second`; `pipeline_share`, the part of a step that is waiting for
      images; `matrix_share`, the rate of operations relative to
      `tfgpr.machine.matmul_rate`.
    """
    dtype = precision.resolve(dtype)
    gan = recipe.gan(recipe.prior(dtype))
    train = tf.function(lambda images: gan.train_step(images)["d_loss"])
    iterator = iter(batches)
    batch = next(iterator)
    alone = _seconds(lambda: train(batch), steps)
    whole = _seconds(lambda: train(next(iterator)), steps)
    # G draws without and with gradients (1 + 3), D sees real, generated (3 + 3), then G's (2).
    work = 4 * machine.flops(gan.generator) + 8 * machine.flops(gan.discriminator)
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
