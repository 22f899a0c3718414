"""Low rank: each channel is a matrix of small nuclear norm."""

import numpy as np

from tfgpr.baselines.base import Baseline
from tfgpr.baselines.data_terms import DataTerm


def shrink_singular_values(matrices, threshold, kept=0):
    """Proximal map of the (truncated) nuclear norm, by the eigenvectors of X X^T.

    Args:
      matrices: X, `[..., rows, columns]`.
      threshold: what is taken off each singular value, down to zero.
      kept: so many of the largest singular values are left alone (the truncated norm of
        Hu et al. 2013); 0 is the nuclear norm.
    Returns:
      Matrices of the same shape.
    """
    gram = matrices.astype(np.float64)
    squared, vectors = np.linalg.eigh(gram @ np.swapaxes(gram, -1, -2))
    values = np.sqrt(np.maximum(squared, 1e-20))  # in ascending order
    gains = np.maximum(1 - threshold / values, 0)
    gains[..., gains.shape[-1] - kept :] = 1
    shrunk = (vectors * gains[..., None, :]) @ (np.swapaxes(vectors, -1, -2) @ gram)
    return shrunk.astype(matrices.dtype)


def minimize_nuclear_norm(prox, start, threshold, kept, iterations):
    """min over x of t * sum of nuclear norms + F(x), by Douglas-Rachford splitting.

    Convex, and the limit a minimum, where `kept` is 0 (Lions and Mercier 1979).

    Args:
      prox: `prox(x, step)` of F; see `data_terms.DataTerm`.
      start: x at first, `[batch, height, width, channels]`.
      threshold: t.
      kept: see `shrink_singular_values`.
      iterations: how many.
    Returns:
      x, which agrees with y where F demands it.
    """
    v = start
    for _ in range(iterations):
        x = prox(v, 1.0)
        channels = np.moveaxis(2 * x - v, -1, 1)
        v = v + np.moveaxis(shrink_singular_values(channels, threshold, kept), 1, -1) - x
    return prox(v, 1.0)


THRESHOLDS = {"inpainting": 1.0, "denoising": 0.9, "dequantization": 0.03}
KEPT = {"inpainting": 1, "denoising": 3, "dequantization": 2}


class LowRank(Baseline):
    """Nuclear-norm shrinkage (denoising) and completion (the others), channel by channel.

    Denoising is one shrinkage; the enlarged image of least nuclear norm is A^+ y (Liu et al.
    2013), and where y comes enlarged (protocol `published`) it has that rank itself; the
    others are solved by iteration.

    Args:
      image_size: side of the images in pixels.
      thresholds: what is taken off the singular values in one step, by task.
      kept: how many singular values are never shrunk, by task.
      iterations: of the solver.
    """

    name = "low_rank"
    tasks = ("inpainting", "super_resolution", "denoising", "dequantization")

    def __init__(self, image_size=64, thresholds=None, kept=None, iterations=30):
        super().__init__(image_size)
        self.thresholds = {**THRESHOLDS, **(thresholds or {})}
        self.kept = {**KEPT, **(kept or {})}
        self.iterations = iterations

    def _restore(self, task, observed, known):
        # In the quantisation cell every value is as good: no pull toward y.
        term = DataTerm(task, observed, known, 0.0, self.image_size)
        if task.name == "super_resolution":
            return observed if observed.shape[1] == self.image_size else term.start()
        threshold, kept = self.thresholds[task.name], self.kept[task.name]
        if task.name == "denoising":
            channels = np.moveaxis(observed, -1, 1)
            return np.moveaxis(shrink_singular_values(channels, threshold, kept), 1, -1)
        return minimize_nuclear_norm(term.prox, term.start(), threshold, kept, self.iterations)
