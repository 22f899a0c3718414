"""How close two images are: PSNR and SSIM, one number per image."""

import tensorflow as tf


def psnr(images, reference):
    """Peak signal-to-noise ratio in dB for a peak of 1, `[batch]`; both in [0, 1]."""
    return tf.image.psnr(images, reference, max_val=1.0)


def ssim(images, reference):
    """Structural similarity (Wang et al. 2004), `[batch]`; both in [0, 1].

    11x11 Gaussian window of standard deviation 1.5, K1 = 0.01, K2 = 0.03.
    """
    return tf.image.ssim(images, reference, max_val=1.0)
