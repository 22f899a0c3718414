"""nu: what the generator cannot draw. x* = consistency(G(z*) + nu).

G(z*) leaves a residual x - G(z*) that has statistics of its own: the same finding for every
face. The prior of nu is learned from these residuals on training images, and is used through
its posterior mean (as the denoiser in plug-and-play restoration, Venkatakrishnan et al. 2013;
Zhang et al. 2021):

    nu = E[ x - G(z*) | G(z*), what y says of x ]

What y says of x reaches the network as `Evidence`: for each pixel a value and its standard
deviation, in luma and in chroma. So one network serves every task, mask, noise level, factor
and number of quantisation steps. Without it x* = consistency(G(z*)), as in the paper.
"""

import collections

import keras
import tensorflow as tf

from tfgpr import consistency
from tfgpr.operators import Luma
from tfgpr.part import Part

# images: [batch, height, width, 3]; uncertainty: [batch, height, width, 3], its channels the
# standard deviation of luma, that of chroma (both in [0, 1], 1: unknown), and the share of
# the frequencies of each axis that y does not reach.
Evidence = collections.namedtuple("Evidence", ["images", "uncertainty"])

CHANNELS = (48, 96, 192)


def evidence(images, luma=0.0, chroma=0.0, unreached=0.0):
    """An `Evidence`; each uncertainty is a number or `[batch or 1, height, width, 1]`."""
    one = tf.ones_like(images[..., :1])
    stacked = [tf.cast(value, images.dtype) * one for value in (luma, chroma, unreached)]
    return Evidence(images, tf.concat(stacked, axis=-1))


def luma_stddev(found):
    """The standard deviation of luma in an `Evidence`, `[batch, height, width, 1]`."""
    return found.uncertainty[..., :1]


def known_pixels(generated, observed, known):
    """Inpainting: y where it is known, G(z) elsewhere."""
    hole = 1.0 - known
    return evidence(known * observed + hole * generated, hole, hole)


def known_luma(generated, observed):
    """Colorization: the luma of y with the chroma of G(z)."""
    return evidence(generated + (observed - Luma()(generated)), chroma=1.0)


class LowFrequencies:
    """Super-resolution: the image nearest to G(z) with the observed low resolution.

    Args:
      operator: a `tfgpr.operators.Separable`.
      factor: how many times fewer measurements than pixels there are along an axis.
    """

    def __init__(self, operator, factor):
        self.operator = operator
        self.project = consistency.BackProjection(operator).project
        self.factor = factor

    def __call__(self, generated, observed):
        return evidence(self.project(generated, observed), unreached=1.0 - 1.0 / self.factor)


class Noisy:
    """Denoising and dequantization: y, with the standard deviation of its error.

    Args:
      stddev: in units of [0, 1].
    """

    def __init__(self, stddev):
        self.stddev = stddev

    def __call__(self, generated, observed):
        del generated
        return evidence(observed, self.stddev, self.stddev)


class LeastChanged:
    """Any linear operator: the image nearest to the estimate that A maps to y.

    As if its errors were white; used in several rounds of falling standard deviation, each
    from the estimate of the one before (plug-and-play, half-quadratic splitting).

    Args:
      least_change: a `tfgpr.consistency.LeastChange`.
      stddev: of the errors, in units of [0, 1].
    """

    def __init__(self, least_change, stddev):
        self.least_change = least_change
        self.stddev = stddev

    def __call__(self, generated, observed, **conditions):
        nearest = self.least_change.project(generated, observed, **conditions)
        return evidence(nearest, self.stddev, self.stddev)


def quantization_stddev(steps):
    """Standard deviation of rounding to multiples of 1/steps (uniform in the cell)."""
    return 1.0 / (steps * 12.0**0.5)


def residual_network(image_size=64, channels=CHANNELS, dtype="float32"):
    """A U-Net: (evidence, uncertainty, G(z)), each `[batch, size, size, 3]` -> correction.

    What it returns is added to the evidence; it is zero before training. Convolutions work
    at half the resolution and below, where a CPU does them fastest.

    Args:
      image_size: side of the images in pixels; `2**len(channels)` divides it.
      channels: of each level, from half the resolution down.
      dtype: a Keras dtype policy; weights and the output stay float32.
    """
    layers = keras.layers

    def block(x, width):
        inner = layers.Conv2D(width, 3, padding="same", activation="relu", dtype=dtype)(x)
        inner = layers.Conv2D(width, 3, padding="same", dtype=dtype)(inner)
        return layers.Add(dtype=dtype)([x, inner])

    names = ("evidence", "uncertainty", "generated")
    inputs = [keras.Input([image_size, image_size, 3], name=name) for name in names]
    x = layers.Concatenate(dtype=dtype)(inputs)
    skips = []
    for width in channels:
        x = layers.Conv2D(width, 2, strides=2, dtype=dtype)(x)
        x = block(block(x, width), width)
        skips.append(x)
    x = skips.pop()
    for width in reversed(channels[:-1]):
        x = layers.Conv2DTranspose(width, 2, strides=2, dtype=dtype)(x)
        x = layers.Add(dtype=dtype)([x, skips.pop()])
        x = block(block(x, width), width)
    x = layers.Conv2DTranspose(3, 2, strides=2, kernel_initializer="zeros", dtype=dtype)(x)
    x = layers.Activation("linear", dtype="float32", name="correction")(x)
    return keras.Model(inputs, x, name="residual")


def network_inputs(found, generated):
    """What `residual_network` is called with: an `Evidence` and G(z), around zero."""
    return found.images - 0.5, found.uncertainty, generated - 0.5


class Residual(Part):
    """The learned prior of nu; its network is of `residual_network`. Untrained, nu is the evidence
    minus G(z), whatever the evidence is worth."""

    make = staticmethod(residual_network)

    def __call__(self, found, generated):
        """G(z) + nu, `[batch, height, width, 3]`: the posterior mean of x.

        Args:
          found: an `Evidence`.
          generated: G(z) in [0, 1].
        """
        correction = self.network(network_inputs(found, generated), training=False)
        return found.images + tf.cast(correction, tf.float32)
