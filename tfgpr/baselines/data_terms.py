"""How the observation enters the classical methods: as proximal maps and projections."""

import numpy as np


class DataTerm:
    """F(x) of one batch: what x must have, or should have, in common with y.

    inpainting, super-resolution, colorization: 0 where A x = y, infinite elsewhere;
    denoising: (weight / 2) ||x - y||^2; dequantization: the same within y's cells, infinite
    outside.

    Args:
      task: a task of `tfgpr.tasks`.
      observed: y, a NumPy array.
      known: the mask of inpainting, or None.
      weight: of the quadratic, where there is one.
      image_size: side of x in pixels.
    """

    def __init__(self, task, observed, known, weight, image_size):
        self.task = task.name
        self.y = observed
        self.weight = weight
        if self.task == "inpainting":
            self.known = np.broadcast_to(known, observed.shape) > 0.5
        elif self.task == "super_resolution":
            matrix = task.operator.matrix(image_size)
            self.down = matrix.astype(np.float32)
            # The published operator has a quarter of full rank: small values are rounding.
            self.up = np.linalg.pinv(matrix, rcond=1e-6).astype(np.float32)
        elif self.task == "dequantization":
            half = 0.5 / task.consistency.steps
            self.cell = observed - half, observed + half

    def start(self):
        """Where to begin: y, its smallest preimage, or y with its mean in the hole."""
        if self.task == "inpainting":
            count = self.known.sum(axis=(1, 2), keepdims=True)
            mean = np.where(self.known, self.y, 0).sum(axis=(1, 2), keepdims=True) / count
            return np.where(self.known, self.y, mean).astype(np.float32)
        if self.task == "super_resolution":
            return separable(self.up, self.y)
        return self.y

    def prox(self, x, step):
        """argmin over u of step * F(u) + ||u - x||^2 / 2, exactly."""
        if self.task == "inpainting":
            return np.where(self.known, self.y, x)
        if self.task == "super_resolution":
            return x + separable(self.up, self.y - separable(self.down, x))
        pull = np.float32(step * self.weight)
        x = (x + pull * self.y) / (1 + pull)
        return np.clip(x, *self.cell) if self.task == "dequantization" else x


def separable(matrix, images):
    """S x S^T in each channel of `[batch, height, width, channels]`."""
    batch, height, width, channels = images.shape
    rows = matrix @ images.reshape(batch, height, width * channels)
    rows = rows.reshape(batch, -1, width, channels)
    return matrix @ rows
