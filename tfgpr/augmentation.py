"""Differentiable augmentation (Zhao et al. 2020, "DiffAugment"), on images in [-1, 1].

What D sees, real or generated, is changed at random, so that D cannot memorise the few
real images and G still learns the images as they are.
"""

import tensorflow as tf


def _uniform(images, low, high):
    return tf.random.uniform([tf.shape(images)[0], 1, 1, 1], low, high, images.dtype)


def brightness(images):
    """Adds one number in [-0.5, 0.5] to each image."""
    return images + _uniform(images, -0.5, 0.5)


def saturation(images):
    """Scales each image's difference from its gray version by a factor in [0, 2]."""
    gray = tf.reduce_mean(images, axis=3, keepdims=True)
    return gray + (images - gray) * _uniform(images, 0.0, 2.0)


def contrast(images):
    """Scales each image's difference from its mean by a factor in [0.5, 1.5]."""
    mean = tf.reduce_mean(images, axis=[1, 2, 3], keepdims=True)
    return mean + (images - mean) * _uniform(images, 0.5, 1.5)


def _shift_matrices(images, size, limit):
    """`[batch, size, size]` matrices that move a line of pixels by up to `limit`."""
    shift = tf.random.uniform([tf.shape(images)[0], 1], -limit, limit + 1, tf.int32)
    return tf.one_hot(tf.range(size)[None] + shift, size, dtype=images.dtype)


def translation(images, fraction=1 / 8):
    """Moves each image by whole pixels, up to `fraction` of its size; zeros come in.

    Written as two products with shift matrices: linear, and differentiable to any order.
    """
    height, width = images.shape[1], images.shape[2]
    rows = _shift_matrices(images, height, int(height * fraction))
    columns = _shift_matrices(images, width, int(width * fraction))
    moved = tf.einsum("bih,bhwc->biwc", rows, images)
    return tf.einsum("bjw,biwc->bijc", columns, moved)


def cutout(images, fraction=1 / 2):
    """Sets a square of `fraction` of each image's side to zero, its centre anywhere inside."""

    def hidden(size):
        side = int(size * fraction)
        first = tf.random.uniform([tf.shape(images)[0], 1], 0, size, tf.int32) - side // 2
        place = tf.range(size)[None] - first
        return (place >= 0) & (place < side)

    rows, columns = hidden(images.shape[1]), hidden(images.shape[2])
    square = rows[:, :, None] & columns[:, None, :]
    return images * tf.cast(~square, images.dtype)[..., None]


def diff_augment(images, with_cutout=False):
    """Color and translation in the order of the reference implementation, then `cutout`.

    The reference's default for whole datasets is without `cutout`, for a hundred images with.
    """
    images = translation(contrast(saturation(brightness(images))))
    return cutout(images) if with_cutout else images
