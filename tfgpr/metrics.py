"""How close two images are: PSNR and SSIM, one number per image.

How real a *set* of images looks is in `tfgpr.realism`.
"""

import tensorflow as tf

from tfgpr.errors import InputError


def psnr(images, reference, where=None, peak=1.0):
    """Peak signal-to-noise ratio in dB, `[batch]`.

    Args:
      images, reference: `[batch, height, width, channels]` in [0, 1], or uint8.
      where: count these pixels only: `[batch or 1, height, width, 1]` of 0 and 1 (for
        inpainting, `1 - known` is the hole); None: all.
      peak: 1, or one for each image, `[batch]`.
    Raises:
      InputError: numbers of another kind.
    """
    squared = tf.math.squared_difference(_in_unit_range(images), _in_unit_range(reference))
    if where is None:
        error = tf.reduce_mean(squared, axis=[1, 2, 3])
    else:
        where = tf.broadcast_to(tf.cast(where, squared.dtype), tf.shape(squared))
        total = tf.reduce_sum(where * squared, axis=[1, 2, 3])
        error = total / tf.reduce_sum(where, axis=[1, 2, 3])
    return 10 * tf.math.log(peak**2 / error) / tf.math.log(10.0)


def ssim(images, reference):
    """Structural similarity (Wang et al. 2004), `[batch]`; both in [0, 1], or uint8.

    11x11 Gaussian window of standard deviation 1.5, K1 = 0.01, K2 = 0.03.

    Raises:
      InputError: numbers of another kind.
    """
    return tf.image.ssim(_in_unit_range(images), _in_unit_range(reference), max_val=1.0)


def _in_unit_range(images):
    images = tf.convert_to_tensor(images)
    if not (images.dtype.is_floating or images.dtype == tf.uint8):
        raise InputError(
            "Expected images as uint8 in 0..255 or floating point in [0, 1]. Received: "
            f"{images.dtype.name}; convert them to one of these."
        )
    return tf.image.convert_image_dtype(images, tf.float32)
