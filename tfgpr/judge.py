"""What judges a prior: how well it can draw faces that it has never seen."""

import keras
import numpy as np

from tfgpr import consistency, initialization, optimizers
from tfgpr.corruptions import Corruption
from tfgpr.metrics import psnr
from tfgpr.operators import Identity
from tfgpr.restoration import Method, Restorer
from tfgpr.tasks import Task

INVERSION = Method(
    optimizer=optimizers.Adam(0.1, beta_2=0.9, decay_steps=200),
    iterations=200,
    initialization=initialization.Screened(256),
    weight=0.0,
    p=2,
)


def invert(prior, images, seed=0, batch_size=64):
    """G(z*) of clean images: 200 Adam steps on ||x - G(z)||_2^2 from the best of 256 draws.

    Args:
      prior: a `GanPrior`.
      images: clean images `[count, size, size, 3]` in [0, 1].
      seed: of the draws.
      batch_size: images searched at a time.
    Returns:
      `(generated, psnr)`: the drawn images, and their PSNR in dB, `[count]`.
    """
    operator = Identity()
    task = Task("inversion", operator, Corruption(operator), consistency.keep, INVERSION, INVERSION)
    restorer = Restorer(prior, task, seed=seed)
    bar = keras.utils.Progbar(len(images), unit_name="image")
    generated = []
    for first in range(0, len(images), batch_size):
        generated.append(restorer.restore(images[first : first + batch_size]).generated)
        bar.update(min(first + batch_size, len(images)))
    generated = np.concatenate(generated)
    return generated, psnr(generated, images).numpy()
