"""Sparse coding: every patch is a few atoms of a dictionary learned on training faces."""

import warnings

import numpy as np
import tensorflow as tf

from tfgpr.baselines.base import Baseline, as_float
from tfgpr.baselines.data_terms import DataTerm
from tfgpr.baselines.interpolation import enlarge
from tfgpr.baselines.matching_pursuit import masked_pursuit
from tfgpr.consistency import poisson_blend

_SHRINK = 2  # how much smaller the faces are that fill a hole


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
TURNS = {"inpainting": 1, "super_resolution": 4, "denoising": 1, "dequantization": 2}


class Sparse(Baseline):
    """Sparse coding of overlapping color patches (Elad and Aharon 2006).

    Starts from the observation (bicubic enlargement), then turns: code each patch without its
    mean color by error-stopped orthogonal matching pursuit, average the patches, and put back
    what is known of y. The tolerance falls by half from the first turn to the last.

    A hole that is larger than a patch gives most patches nothing to go by. Inpainting is
    therefore done at two scales (Mairal, Sapiro and Elad 2008). First the whole face at half
    the size is one patch, coded from its known pixels by a few training faces (as Wright et
    al. 2009 do; faces are aligned, so these are atoms that span the hole). This is done with
    several dictionaries and averaged, which is better than the sparsest code (Elad and Yavneh
    2009), and blended in. Then the small patches at the hole's rim are coded from their known
    pixels, those inside from what was filled in, in turns as above.

    Args:
      image_size: side of the images in pixels.
      tolerances: root mean square error that a patch's code may leave, by task.
      turns: how many, by task.
      combined: training faces at most in each code of a whole face.
      dictionaries: into how many the training faces are dealt, whose codes are averaged.
      atoms: of the dictionary.
      patch: side of a patch in pixels.
      stride: between patches, in pixels.
      most: atoms per patch at most.
      samples: training patches that the dictionary is learned from.
      exemplars: training faces that are kept; with their mirror images they fill holes.
      seed: of their choice and of the learning.
    """

    name = "sparse"
    tasks = ("inpainting", "super_resolution", "denoising", "dequantization")
    learned = ("dictionary", "small_faces")
    learned_with = ("atoms", "patch", "samples", "exemplars", "seed")

    def __init__(
        self,
        image_size=64,
        tolerances=None,
        turns=None,
        combined=48,
        dictionaries=8,
        atoms=384,
        patch=8,
        stride=2,
        most=8,
        samples=40_000,
        exemplars=2000,
        seed=0,
    ):
        super().__init__(image_size)
        self.tolerances = {**TOLERANCES, **(tolerances or {})}
        self.turns = {**TURNS, **(turns or {})}
        self.combined = combined
        self.dictionaries = dictionaries
        self.atoms = atoms
        self.patch = patch
        self.stride = stride
        self.most = most
        self.samples = samples
        self.exemplars = exemplars
        self.seed = seed
        self._patches = Patches(image_size, patch, stride)

    def _fit(self, images):
        rng = np.random.default_rng(self.seed)
        self.dictionary = self._learn_dictionary(self._draw_patches(images, rng))
        chosen = np.sort(rng.permutation(len(images))[: self.exemplars])
        self.small_faces = shrink(as_float(images[chosen]), _SHRINK)

    def _draw_patches(self, images, rng):
        """Random patches without their mean color, `[count, patch * patch * 3]`."""
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
        return patches[patches.std(axis=1) > 0.02]  # flat ones teach nothing

    def _learn_dictionary(self, patches):
        from sklearn.decomposition import MiniBatchDictionaryLearning

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
        return np.float32((atoms / length)[length[:, 0] > 1e-6])

    def _restore(self, task, observed, known):
        tolerance, turns = self.tolerances[task.name], self.turns[task.name]
        if task.name == "denoising":
            return self._code(observed, tolerance)
        images = observed
        if task.name == "inpainting":
            images = self._fill(observed, known)
        elif task.name == "super_resolution":
            images = enlarge(task, observed, self.image_size)
        term = DataTerm(task, observed, known, 0.0, self.image_size)
        for turn in range(turns):
            falling = tolerance * 0.5 ** (turn / max(turns - 1, 1))
            images = term.prox(self._code(images, falling, known), 1.0)
        return images

    def _fill(self, observed, known):
        """Images whose unknown pixels come from small training faces, `[batch, ...]`."""
        share = shrink(known, _SHRINK)
        small = shrink(observed * known, _SHRINK) / np.maximum(share, 1e-6)
        seen = share.reshape(len(share), -1) > 0
        pixels = small.reshape(len(small), -1, small.shape[-1])
        faces = np.concatenate([self.small_faces, self.small_faces[:, :, ::-1]])
        faces = faces.reshape(len(faces), -1)
        dealt = [faces[first :: self.dictionaries] for first in range(self.dictionaries)]
        coded = np.mean(
            [self._pursue(pixels, seen, faces, 0.01, self.combined) for faces in dealt], axis=0
        )
        filled = np.where(share > 0, small, coded.reshape(small.shape))
        enlarged = tf.image.resize(filled, observed.shape[1:3], "bicubic")
        return poisson_blend(enlarged, observed, known).numpy()

    def _code(self, images, tolerance, known=None):
        """Images of which every patch is sparse, the mean of a patch being free.

        With `known`, patches that are half known or more are coded from what is known.
        """
        patches = self._patches.cut(images).reshape(-1, self.patch**2, images.shape[-1])
        seen = np.ones(patches.shape[:2], bool)
        if known is not None:
            seen = self._patches.cut(known) > 0.5
            seen[seen.mean(axis=1) < 0.5] = True
        coded = self._pursue(patches, seen, self.dictionary, tolerance, self.most)
        return self._patches.average(coded, images.shape)

    @staticmethod
    def _pursue(patches, seen, dictionary, tolerance, most):
        """`masked_pursuit`, once for all patches of which the same pixels are seen."""
        _, which = np.unique(np.packbits(seen, axis=1), axis=0, return_inverse=True)
        order = np.argsort(which.reshape(-1), kind="stable")
        result = np.empty_like(patches)
        for rows in np.split(order, np.cumsum(np.bincount(which.reshape(-1)))[:-1]):
            mask = seen[rows[0]]
            result[rows] = masked_pursuit(patches[rows], mask, dictionary, tolerance, most)
        return result


def shrink(images, factor):
    """Means over blocks of `factor` x `factor` pixels, `[batch, height, width, channels]`."""
    batch, height, width, channels = images.shape
    blocks = images.reshape(batch, height // factor, factor, width // factor, factor, channels)
    return blocks.mean(axis=(2, 4))
