"""A linear generative prior: the principal components of training faces, Gaussian MAP."""

import numpy as np

from tfgpr.baselines.base import Baseline, as_float
from tfgpr.errors import InputError

USED = {
    "inpainting": 1500,
    "colorization": 800,
    "super_resolution": 1500,
    "denoising": 1500,
    "dequantization": 1500,
}
NOISE = {
    "inpainting": 0.01,
    "colorization": 0.08,
    "super_resolution": 0.0005,
    "denoising": 0.011,
    "dequantization": 0.02,
}


class PCA(Baseline):
    """x = mean + U c + r, with Gaussian c and r; the answer is the most probable x given y.

    Training images count together with their mirror images, which makes the components
    even or odd (Kirby and Sirovich 1990): each kind is found in half as many dimensions.
    For a linear operator A the coefficients are, with M = A U and S the components' variances,

        c* = (M^T M + noise * S^-1)^-1 M^T (y - A mean)

    where `noise` is the variance per measurement of what U cannot draw, and of the noise.
    At the end y is honoured as the task has it.

    Args:
      image_size: side of the images in pixels.
      components: how many components the fit keeps.
      used: how many of them a task uses.
      noise: variance per measurement, by task.
      seed: of the randomised decomposition.
    """

    name = "pca"
    tasks = ("inpainting", "colorization", "super_resolution", "denoising", "dequantization")
    learned = ("mean", "basis", "variances", "remainder")
    learned_with = ("components", "seed")

    def __init__(self, image_size=64, components=1500, used=None, noise=None, seed=0):
        super().__init__(image_size)
        self.components = components
        self.used = {**USED, **(used or {})}
        self.noise = {**NOISE, **(noise or {})}
        self.seed = seed
        self._normals = {}

    def _fit(self, images):
        """Sets `mean`, `basis` [components, pixels], `variances`, `remainder` (per pixel)."""
        half = self.image_size // 2
        images = as_float(images)
        left, right = images[:, :, :half], images[:, :, : -half - 1 : -1]
        even, odd = (left + right) / np.sqrt(2), (left - right) / np.sqrt(2)
        even_mean = even.mean(axis=0)
        self.mean = np.concatenate([even_mean, even_mean[:, ::-1]], axis=1) / np.sqrt(2)
        count = self.components * 5 // 8  # faces are more even than odd
        parts = [
            self._decompose(even - even_mean, count, 1),
            self._decompose(odd, self.components - count, -1),
        ]
        variances, basis, left_over = (list(values) for values in zip(*parts))
        variances, basis = np.concatenate(variances), np.concatenate(basis)
        order = np.argsort(-variances)
        self.variances, self.basis = variances[order], basis[order]
        self.remainder = np.float32(sum(left_over) / self.mean.size)
        self._normals = {}

    def _decompose(self, halves, count, sign):
        """Variances, whole components, and the variance left over, of one kind of half."""
        from sklearn.utils.extmath import randomized_svd

        shape, rows = halves.shape[1:], halves.reshape(len(halves), -1)
        count = min(count, *rows.shape)
        _, values, vectors = randomized_svd(rows, count, n_iter=2, random_state=self.seed)
        vectors = vectors.reshape(-1, *shape) / np.sqrt(2)
        whole = np.concatenate([vectors, sign * vectors[:, :, ::-1]], axis=2)
        variances = values**2 / len(rows)
        total = float(np.mean((rows**2).sum(axis=1)))
        return variances, np.float32(whole.reshape(count, -1)), total - float(variances.sum())

    def represent(self, images, used=None):
        """The nearest images in the span of the mean and the first components.

        Args:
          images: `[batch, size, size, 3]` in [0, 1].
          used: how many components; None: all.
        Returns:
          float32 images, not clipped.
        """
        basis = self.basis[:used]
        rows = (images - self.mean).reshape(len(images), -1)
        return np.float32(self.mean + ((rows @ basis.T) @ basis).reshape(images.shape))

    def _restore(self, task, observed, known):
        if not task.operator.linear:
            raise InputError(
                f"Expected a linear operator for pca. Received: {task.operator.name}; color from "
                "luma, tasks.colorization()."
            )
        if known is None:
            return self._posterior(task, observed, {})
        masks, which = np.unique(known, axis=0, return_inverse=True)
        result = np.empty_like(observed)
        for index, mask in enumerate(masks):
            rows = which.reshape(-1) == index
            result[rows] = self._posterior(task, observed[rows], {"known": mask[None]})
        return result

    def _posterior(self, task, observed, conditions):
        import scipy.linalg

        used, noise = min(self.used[task.name], len(self.basis)), self.noise[task.name]
        measured, normal, measured_mean = self._normal(task, conditions, used)
        difference = observed.reshape(len(observed), -1) - measured_mean
        normal = normal + np.diag(noise / np.maximum(self.variances[:used], 1e-12))
        right = (measured @ difference.T).astype(np.float64)
        coefficients = np.float32(scipy.linalg.solve(normal, right, assume_a="pos").T)
        drawn = coefficients @ self.basis[:used]
        images = self.mean + drawn.reshape(len(observed), *self.mean.shape)
        if task.name == "denoising":
            # Of what U cannot draw, as much is real as its share of the variance.
            rest = self._left_over(used)
            return images + rest / (rest + task.corruption.noise_stddev**2) * (observed - images)
        return task.consistency(np.float32(images), observed, **conditions).numpy()

    def _left_over(self, used):
        return self.remainder + self.variances[used:].sum() / self.mean.size

    def _normal(self, task, conditions, used):
        """M^T (its rows are A's answers to the components), M^T M and A mean; the last few kept."""
        known = conditions["known"].tobytes() if conditions else b""
        key = (task.name, str(task.operator.get_config()), used, known)
        if key not in self._normals:
            while len(self._normals) >= 4:
                self._normals.pop(next(iter(self._normals)))
            images = self.basis[:used].reshape(used, *self.mean.shape)
            parts = np.array_split(images, -(-used // 200))
            measured = np.concatenate([self._measure(task, part, conditions) for part in parts])
            normal = (measured @ measured.T).astype(np.float64)
            mean = self._measure(task, self.mean[None], conditions)[0]
            self._normals[key] = measured, normal, mean
        return self._normals[key]

    @staticmethod
    def _measure(task, images, conditions):
        return task.operator(np.float32(images), **conditions).numpy().reshape(len(images), -1)
