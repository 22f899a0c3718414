"""How real a set of images looks: distances between samples of images, not between pairs.

Each is to be read beside its floor: the same measure between two sets of real images.
"""

import numpy as np
import tensorflow as tf

from tfgpr.errors import InputError

_MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al. 2003


class SlicedWasserstein:
    """Sliced Wasserstein distance between Laplacian-pyramid patches (Karras et al. 2018).

    On each level of the pyramid (down to 16 pixels) random 7x7 patches of both sets, each
    channel normalised by its set's mean and deviation, are projected on random directions;
    the distance is the mean difference between the sorted projections, times 1000.

    Args:
      reference: real images `[count, size, size, 3]` in [0, 1].
      patches: per image and level.
      directions: random projections.
      seed: of the patches and the directions.
    Raises:
      InputError: images smaller than 16 pixels.
    """

    def __init__(self, reference, patches=64, directions=256, seed=0):
        self.patches = patches
        self.directions = directions
        self.seed = seed
        self.count, self.shape = len(reference), reference.shape[1:]
        if min(self.shape[:2]) < 16:
            raise InputError(f"Expected images of 16 pixels and more. Received: {self.shape}.")
        self._reference = self._project(reference, 1)

    def __call__(self, images):
        """The distance of as many images as the reference has, in thousandths.

        Raises:
          InputError: another number or shape of images: the distance depends on it.
        """
        if len(images) != self.count or images.shape[1:] != self.shape:
            raise InputError(
                f"Expected {self.count} images of shape {self.shape}, as the reference has. "
                f"Received: {len(images)} of shape {images.shape[1:]}."
            )
        pairs = zip(self._project(images, 2), self._reference)
        return 1000 * float(np.mean([np.abs(ours - theirs).mean() for ours, theirs in pairs]))

    def _project(self, images, stream):
        """Sorted projections `[count * patches, directions]` of each level."""
        projections = []
        for level, band in enumerate(laplacian_pyramid(images)):
            # The directions are the same for both sets, the places are not.
            places = np.random.default_rng([self.seed, level, stream])
            rows = normalised_patches(band, self.patches, places)
            rng = np.random.default_rng([self.seed, level])
            directions = rng.normal(size=(rows.shape[1], self.directions)).astype(np.float32)
            directions /= np.linalg.norm(directions, axis=0)
            projections.append(np.sort(rows @ directions, axis=0))
        return projections


def laplacian_pyramid(images, smallest=16):
    """Band-pass levels from full size down to `smallest` pixels, the last one low-pass.

    Returns:
      A list of float32 arrays; upsampled and added from the last on, they are the images.
    """
    current, levels = tf.convert_to_tensor(images, tf.float32), []
    while min(current.shape[1:3]) // 2 >= smallest:
        height, width = current.shape[1:3]
        low = tf.image.resize(current, [height // 2, width // 2], "bilinear", antialias=True)
        levels.append((current - tf.image.resize(low, [height, width], "bilinear")).numpy())
        current = low
    return [*levels, current.numpy()]


def normalised_patches(images, count, rng, side=7):
    """`count` random patches of each image, `[batch * count, side * side * channels]`.

    Each channel of the whole set has mean 0 and standard deviation 1.
    """
    batch, height, width, channels = images.shape
    rows = np.repeat(np.arange(batch), count)[:, None, None]
    tops = rng.integers(0, height - side + 1, batch * count)[:, None, None]
    lefts = rng.integers(0, width - side + 1, batch * count)[:, None, None]
    offsets = np.arange(side)
    patches = images[rows, tops + offsets[:, None], lefts + offsets]
    patches = patches - patches.mean(axis=(0, 1, 2))
    patches /= np.maximum(patches.std(axis=(0, 1, 2)), 1e-8)
    return patches.reshape(batch * count, side * side * channels)


def ms_ssim_diversity(images, seed=0):
    """Mean multi-scale SSIM between images of the set: the higher, the less varied.

    Each image is compared with one other, drawn by `seed` (Odena et al. 2017 use it for
    samples of a GAN). So many scales as leave 11 pixels, their weights made to sum to 1.

    Args:
      images: at least two, `[count, size, size, channels]` in [0, 1].
    """
    if len(images) < 2:
        raise InputError(f"Expected at least two images to compare. Received: {len(images)}.")
    size = min(images.shape[1:3])
    weights = np.array([w for scale, w in enumerate(_MS_SSIM_WEIGHTS) if size >> scale >= 11])
    order = np.random.default_rng(seed).permutation(len(images))
    images = tf.convert_to_tensor(images, tf.float32)
    similarity = tf.image.ssim_multiscale(
        tf.gather(images, order),
        tf.gather(images, np.roll(order, 1)),
        max_val=1.0,
        power_factors=tuple(weights / weights.sum()),
    )
    return float(tf.reduce_mean(similarity))
