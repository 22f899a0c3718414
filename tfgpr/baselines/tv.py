"""Total variation (Rudin, Osher, Fatemi 1992), by one first-order method for all tasks."""

import numpy as np

from tfgpr.baselines.base import Baseline
from tfgpr.baselines.data_terms import DataTerm


def gradient(images):
    """Forward differences `[2, batch, height, width, channels]`, zero at the far border."""
    differences = np.zeros((2, *images.shape), images.dtype)
    differences[0, :, :-1] = images[:, 1:] - images[:, :-1]
    differences[1, :, :, :-1] = images[:, :, 1:] - images[:, :, :-1]
    return differences


def divergence(field):
    """Minus the transpose of `gradient`."""
    result = np.zeros_like(field[0])
    result[:, :-1] += field[0, :, :-1]
    result[:, 1:] -= field[0, :, :-1]
    result[:, :, :-1] += field[1, :, :, :-1]
    result[:, :, 1:] -= field[1, :, :, :-1]
    return result


def total_variation(images):
    """The sum over pixels of the length of the gradient, all channels together, `[batch]`."""
    return np.sqrt((gradient(images) ** 2).sum(axis=(0, -1))).sum(axis=(1, 2))


def minimize_total_variation(prox, start, iterations, step=0.1):
    """min over x of TV(x) + F(x) (Chambolle and Pock 2011, algorithm 1).

    TV is isotropic and couples the channels (Bresson and Chan 2008), so edges of R, G and B
    fall together.

    Args:
      prox: `prox(x, step)` of F; see `data_terms.DataTerm`.
      start: x at first, `[batch, height, width, channels]`.
      iterations: how many.
      step: tau; sigma is 1 / (8 tau), as the gradient's squared norm is at most 8.
    Returns:
      x, and the dual variable p `[2, batch, height, width, channels]`, |p| <= 1: for
      F = w/2 ||x - y||^2 the gap of x and p bounds how far x is from the minimum.
    """
    x = leading = start
    p = np.zeros((2, *start.shape), start.dtype)
    sigma = start.dtype.type(1 / (8 * step))
    for _ in range(iterations):
        p += sigma * gradient(leading)
        p /= np.maximum(1, np.sqrt((p**2).sum(axis=(0, -1), keepdims=True)))
        before = x
        x = prox(x + step * divergence(p), step)
        leading = 2 * x - before
    return x, p


WEIGHTS = {"denoising": 9.0, "dequantization": 5.0}


class TotalVariation(Baseline):
    """The image of least total variation that agrees with y.

    Args:
      image_size: side of the images in pixels.
      weights: weight of the data term, by task: for denoising and dequantization of
        (w / 2) ||x - y||^2; the other tasks are constrained, A x = y.
      iterations: of the solver.
    """

    name = "tv"
    tasks = ("inpainting", "super_resolution", "denoising", "dequantization")

    def __init__(self, image_size=64, weights=None, iterations=150):
        super().__init__(image_size)
        self.weights = {**WEIGHTS, **(weights or {})}
        self.iterations = iterations

    def _restore(self, task, observed, known):
        weight = self.weights.get(task.name)
        term = DataTerm(task, observed, known, weight, self.image_size)
        return minimize_total_variation(term.prox, term.start(), self.iterations)[0]
