"""A linear generative prior: the principal components of training faces, Gaussian MAP."""

import numpy as np

from tfgpr.baselines.base import Baseline, as_float
from tfgpr.errors import InputError

USED = {
    "inpainting": 800,
    "colorization": 800,
    "super_resolution": 1500,
    "denoising": 1500,
    "dequantization": 1500,
}
NOISE = {
    "inpainting": 0.02,
    "colorization": 0.05,
    "super_resolution": 0.0003,
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
        self._gains = {}

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
        self._gains = {}

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
        gain, measured_mean = self._gain(task, conditions)
        difference = observed.reshape(len(observed), -1) - measured_mean
        coefficients = difference @ gain.T
        drawn = coefficients @ self.basis[: gain.shape[0]]
        images = self.mean + drawn.reshape(len(observed), *self.mean.shape)
        if task.name == "denoising":
            # Of what U cannot draw, as much is real as its share of the variance.
            rest = self._left_over(gain.shape[0])
            return images + rest / (rest + task.corruption.noise_stddev**2) * (observed - images)
        return task.consistency(np.float32(images), observed, **conditions).numpy()

    def _left_over(self, used):
        return self.remainder + self.variances[used:].sum() / self.mean.size

    def _gain(self, task, conditions):
        """The matrix from y - A mean to c*, and A mean; kept for the last few masks."""
        noise, used = self.noise[task.name], min(self.used[task.name], len(self.basis))
        known = conditions["known"].tobytes() if conditions else b""
        key = (task.name, str(task.operator.get_config()), noise, used, known)
        if key not in self._gains:
            while len(self._gains) >= 4:
                self._gains.pop(next(iter(self._gains)))
            self._gains[key] = self._solve(task, conditions, noise, used)
        return self._gains[key]

    def _solve(self, task, conditions, noise, used):
        import scipy.linalg

        def measure(images):
            return task.operator(np.float32(images), **conditions).numpy()

        images = self.basis[:used].reshape(used, *self.mean.shape)
        parts = np.array_split(images, -(-used // 200))
        measured = np.concatenate([measure(part).reshape(len(part), -1) for part in parts])
        normal = (measured @ measured.T).astype(np.float64)
        normal += np.diag(noise / np.maximum(self.variances[:used], 1e-12))
        gain = scipy.linalg.solve(normal, measured.astype(np.float64), assume_a="pos")
        return np.float32(gain), measure(self.mean[None]).reshape(-1)
