"""Interpolation: the simplest answer to each task."""

import numpy as np
import tensorflow as tf

from tfgpr.baselines.base import Baseline, as_float


class Interpolation(Baseline):
    """Biharmonic inpainting; the mean training face with the observed luma; bicubic
    enlargement and back-projection; the middle of the quantisation cell.

    Args:
      image_size: side of the images in pixels.
      back_projections: repetitions of x + bicubic(y - A x) for super-resolution.
    """

    name = "interpolation"
    tasks = ("inpainting", "colorization", "super_resolution", "dequantization")
    learned = ("mean",)

    def __init__(self, image_size=64, back_projections=10):
        super().__init__(image_size)
        self.back_projections = back_projections

    def _fit(self, images):
        self.mean = sum(
            as_float(part).sum(axis=0) for part in np.array_split(images, -(-len(images) // 500))
        ) / np.float32(len(images))

    def _restore(self, task, observed, known):
        if task.name == "inpainting":
            return biharmonic(observed, known)
        if task.name == "colorization":
            mean = tf.broadcast_to(self.mean, (*observed.shape[:3], 3))
            return task.consistency(mean, observed).numpy()
        if task.name == "super_resolution":
            return enlarge(task, observed, self.image_size, self.back_projections)
        # The outermost cells are cut in half by the range [0, 1].
        half = 0.5 / task.consistency.steps
        return (np.maximum(observed - half, 0) + np.minimum(observed + half, 1)) / 2


def enlarge(task, observed, size, back_projections=10):
    """Bicubic enlargement to `size` pixels, then x + bicubic(y - A x) some times."""
    images = tf.image.resize(observed, [size, size], "bicubic")
    for _ in range(back_projections):
        missing = observed - task.operator(images)
        images = images + tf.image.resize(missing, [size, size], "bicubic")
    return images.numpy()


def biharmonic(observed, known):
    """Biharmonic inpainting (scikit-image), one call for all images of one mask.

    Args:
      observed: `[batch, height, width, channels]`.
      known: `[batch, height, width, 1]`, 1 where observed.
    """
    from skimage.restoration import inpaint_biharmonic

    _, height, width, channels = observed.shape
    masks, which = np.unique(known[..., 0] > 0.5, axis=0, return_inverse=True)
    result = np.array(observed)
    for index, mask in enumerate(masks):
        rows = np.flatnonzero(which.reshape(-1) == index)
        stack = np.moveaxis(observed[rows], 0, 2).reshape(height, width, -1)
        filled = inpaint_biharmonic(stack, ~mask, channel_axis=-1)
        result[rows] = np.moveaxis(filled.reshape(height, width, len(rows), channels), 2, 0)
    return result
