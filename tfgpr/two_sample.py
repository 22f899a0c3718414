"""Two sets of vectors or numbers compared: precision and recall, KID, AUC, nearest neighbours.

Each is to be read beside its floor: the same between two sets of real images.
"""

import numpy as np

from tfgpr.errors import InputError

_CHUNK = 1000  # rows compared at once


def squared_distances(a, b):
    """||a_i - b_j||^2, `[rows of a, rows of b]`."""
    products = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    return np.maximum(products, 0)


def precision_recall(generated, real, neighbour=3):
    """Improved precision and recall (Kynkaanniemi et al. 2019).

    A set's manifold is the union of balls around its members, each as large as the distance
    to its `neighbour`-th nearest other member. Precision is the share of generated vectors on
    the real manifold (are they realistic?), recall that of real ones on the generated (is
    everything drawn?).

    Args:
      generated, real: embeddings `[count, dim]`.
      neighbour: k of the paper.
    Raises:
      InputError: not more than `neighbour` vectors in a set.
    """
    if min(len(generated), len(real)) <= neighbour:
        raise InputError(
            f"Expected more than {neighbour} vectors in each set. Received: {len(generated)} and "
            f"{len(real)}."
        )

    def covered(points, members):
        radii = np.sort(squared_distances(members, members), axis=1)[:, neighbour]
        return float((squared_distances(points, members) <= radii[None]).any(axis=1).mean())

    return covered(generated, real), covered(real, generated)


def kernel_distance(a, b):
    """KID, the unbiased squared MMD with the kernel (x.y / dim + 1)^3 (Binkowski et al. 2018).

    About 0 (it may be negative) where both sets follow one law.

    Args:
      a, b: embeddings `[count, dim]`, at least two each.
    """
    dim = a.shape[1]

    def kernel(x, y):
        return (x.astype(np.float64) @ y.T / dim + 1) ** 3

    def within(x):
        values = kernel(x, x)
        return (values.sum() - np.trace(values)) / (len(x) * (len(x) - 1))

    return float(within(a) + within(b) - 2 * kernel(a, b).mean())


def auc(higher, lower):
    """P(a member of `higher` exceeds one of `lower`), ties half: 0.5 where nothing differs."""
    higher, lower = np.asarray(higher), np.sort(lower)
    below = np.searchsorted(lower, higher, "left") + np.searchsorted(lower, higher, "right")
    return float(below.mean() / (2 * len(lower)))


def nearest(images, training, count=3):
    """The training images nearest to each image, or to its mirror image, by RMS of the pixels.

    Args:
      images: `[n, size, size, channels]` in [0, 1].
      training: the same of any number, uint8 or in [0, 1].
      count: neighbours wanted.
    Returns:
      `(distances, indices)`, each `[n, count]`, the nearest first.
    """
    images = np.asarray(images, np.float32)
    both = np.concatenate([images, images[:, :, ::-1]]).reshape(2 * len(images), -1)
    distances = np.empty([len(images), 0])
    for first in range(0, len(training), _CHUNK):
        part = training[first : first + _CHUNK]
        scale = 255 if part.dtype == np.uint8 else 1
        rows = part.reshape(len(part), -1).astype(np.float32) / scale
        squared = squared_distances(both, rows).reshape(2, len(images), -1).min(axis=0)
        distances = np.concatenate([distances, np.sqrt(squared / both.shape[1])], axis=1)
    order = np.argsort(distances, axis=1)[:, :count]
    return np.take_along_axis(distances, order, axis=1), order
