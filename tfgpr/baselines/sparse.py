"""Sparse coding: every patch is a few atoms of a dictionary learned on training faces."""

import warnings

import numpy as np

from tfgpr.baselines.base import Baseline, as_float
from tfgpr.baselines.data_terms import DataTerm
from tfgpr.baselines.interpolation import biharmonic, enlarge

_ROWS = 8192  # patches that are coded at once


def orthogonal_matching_pursuit(patches, dictionary, tolerance, most):
    """The fewest atoms, chosen greedily, that leave a residual of at most `tolerance`.

    Batch-OMP (Rubinstein, Zibulevsky and Elad 2008), all patches at once.

    Args:
      patches: `[count, dim]`.
      dictionary: atoms of length 1, `[atoms, dim]`.
      tolerance: on the Euclidean norm of the residual; a patch below it gets no atom more.
      most: atoms per patch at most.
    Returns:
      The approximations, `[count, dim]`.
    """
    gram = dictionary @ dictionary.T
    first = patches @ dictionary.T
    correlation = first.copy()
    residual = (patches**2).sum(axis=1)
    chosen = np.zeros((len(patches), 0), np.int64)
    codes = np.zeros((len(patches), 0), np.float32)
    active = np.flatnonzero(residual > tolerance**2)
    for size in range(1, most + 1):
        if not active.size:
            break
        chosen = np.pad(chosen, [(0, 0), (0, 1)])
        codes = np.pad(codes, [(0, 0), (0, 1)])
        chosen[active, -1] = np.abs(correlation[active]).argmax(axis=1)
        atoms = chosen[active]
        normal = gram[atoms[:, :, None], atoms[:, None, :]] + 1e-6 * np.eye(size)
        right = np.take_along_axis(first[active], atoms, axis=1)
        solved = np.linalg.solve(normal, right[..., None])[..., 0].astype(np.float32)
        codes[active] = solved
        correlation[active] = first[active] - np.einsum("nk,nka->na", solved, gram[atoms])
        # The residual is orthogonal to the chosen atoms (Pythagoras).
        residual[active] = (patches[active] ** 2).sum(axis=1) - (solved * right).sum(axis=1)
        active = active[residual[active] > tolerance**2]
    result = np.zeros_like(patches)
    for atom, code in zip(chosen.T, codes.T):
        result += code[:, None] * dictionary[atom]
    return result


class Patches:
    """All patches of images, every `stride` pixels and at the far border, and back.

    Args:
      size: side of the images.
      patch: side of a patch.
      stride: pixels from one to the next.
    """

    def __init__(self, size, patch, stride):
        self.starts = sorted({*range(0, size - patch, stride), size - patch})
        self.patch = patch

    def cut(self, images):
        """`[batch, height, width, 3]` -> `[batch * patches, patch * patch * 3]`."""
        parts = [
            images[:, top : top + self.patch, left : left + self.patch]
            for top in self.starts
            for left in self.starts
        ]
        return np.stack(parts, axis=1).reshape(-1, self.patch**2 * images.shape[-1])

    def average(self, patches, shape):
        """The images of `shape` in which each pixel is the mean over the patches on it."""
        parts = patches.reshape(shape[0], -1, self.patch, self.patch, shape[-1])
        total, count = np.zeros(shape, np.float32), np.zeros((1, *shape[1:3], 1), np.float32)
        corners = ((top, left) for top in self.starts for left in self.starts)
        for index, (top, left) in enumerate(corners):
            here = np.s_[:, top : top + self.patch, left : left + self.patch]
            total[here] += parts[:, index]
            count[here] += 1
        return total / count


TOLERANCES = {
    "inpainting": 0.01,
    "super_resolution": 0.08,
    "denoising": 0.105,
    "dequantization": 0.07,
}
TURNS = {"inpainting": 3, "super_resolution": 4, "denoising": 1, "dequantization": 2}


class Sparse(Baseline):
    """Sparse coding of overlapping color patches (Elad and Aharon 2006).

    Starts from the observation (biharmonic inpainting, bicubic enlargement), then turns:
    code each patch without its mean color by error-stopped orthogonal matching pursuit,
    average the patches, and put back what is known of y. The tolerance falls by half from
    the first turn to the last.

    Args:
      image_size: side of the images in pixels.
      tolerances: root mean square error that a patch's code may leave, by task.
      turns: how many, by task.
      atoms: of the dictionary.
      patch: side of a patch in pixels.
      stride: between patches, in pixels.
      most: atoms per patch at most.
      samples: training patches that the dictionary is learned from.
      seed: of their choice and of the learning.
    """

    name = "sparse"
    tasks = ("inpainting", "super_resolution", "denoising", "dequantization")
    learned = ("dictionary",)
    learned_with = ("atoms", "patch", "samples", "seed")

    def __init__(
        self,
        image_size=64,
        tolerances=None,
        turns=None,
        atoms=384,
        patch=8,
        stride=2,
        most=8,
        samples=40_000,
        seed=0,
    ):
        super().__init__(image_size)
        self.tolerances = {**TOLERANCES, **(tolerances or {})}
        self.turns = {**TURNS, **(turns or {})}
        self.atoms = atoms
        self.patch = patch
        self.most = most
        self.samples = samples
        self.seed = seed
        self._patches = Patches(image_size, patch, stride)

    def _fit(self, images):
        from sklearn.decomposition import MiniBatchDictionaryLearning

        rng = np.random.default_rng(self.seed)
        limit = self.image_size - self.patch + 1
        draws = rng.integers(0, [len(images), limit, limit], size=(self.samples, 3))
        sides = np.arange(self.patch)
        patches = as_float(
            images[
                draws[:, 0, None, None],
                draws[:, 1, None, None] + sides[:, None],
                draws[:, 2, None, None] + sides,
            ]
        )
        patches = (patches - patches.mean(axis=(1, 2), keepdims=True)).reshape(len(patches), -1)
        patches = patches[patches.std(axis=1) > 0.02]  # flat ones teach nothing
        learner = MiniBatchDictionaryLearning(
            min(self.atoms, len(patches)),
            alpha=0.1,
            max_iter=4,
            batch_size=256,
            fit_algorithm="cd",
            random_state=self.seed,
        )
        with warnings.catch_warnings():  # a few patches in 40,000 do not converge
            warnings.simplefilter("ignore")
            atoms = learner.fit(patches).components_
        length = np.linalg.norm(atoms, axis=1, keepdims=True)
        self.dictionary = np.float32((atoms / length)[length[:, 0] > 1e-6])

    def _restore(self, task, observed, known):
        images, turns = self._start(task, observed, known), self.turns[task.name]
        if task.name == "denoising":
            return self._code(images, self.tolerances[task.name])
        term = DataTerm(task, observed, known, 0.0, self.image_size)
        for turn in range(turns):
            shrink = 0.5 ** (turn / max(turns - 1, 1))
            images = term.prox(self._code(images, shrink * self.tolerances[task.name]), 1.0)
        return images

    def _start(self, task, observed, known):
        if task.name == "inpainting":
            return np.float32(biharmonic(observed, known))
        if task.name == "super_resolution":
            return enlarge(task, observed, self.image_size)
        return observed

    def _code(self, images, tolerance):
        """Images of which every patch is sparse, the mean of a patch being free."""
        channels = images.shape[-1]
        patches = self._patches.cut(images).reshape(-1, self.patch**2, channels)
        mean = patches.mean(axis=1, keepdims=True)
        rows = (patches - mean).reshape(len(patches), -1)
        limit = tolerance * np.sqrt(rows.shape[1])
        parts = [
            orthogonal_matching_pursuit(part, self.dictionary, limit, self.most)
            for part in np.array_split(rows, -(-len(rows) // _ROWS))
        ]
        coded = np.concatenate(parts).reshape(patches.shape) + mean
        return self._patches.average(coded, images.shape)
