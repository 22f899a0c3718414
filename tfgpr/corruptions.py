"""Corruptions: how a clean image becomes an observation: an operator, and perhaps noise."""

import dataclasses
import math

import tensorflow as tf

from tfgpr.errors import InputError
from tfgpr.images import as_images
from tfgpr.operators import Operator, require_conditions


@dataclasses.dataclass(frozen=True)
class Corruption:
    """y = A x + noise, the same for the same image and seed in any batch.

    Attributes:
      operator: what is measured; see `tfgpr.operators`. For dequantization this is
        `Quantize`, while the search compares with `Identity`.
      noise_stddev: standard deviation of white Gaussian noise, in units of [0, 1]. The sum
        is not clipped.
      rescaled: whether each observation is then stretched to its own minimum and maximum, as
        the image files of the paper's released code were (protocol `published`).
    Raises:
      InputError: a noise that is negative or not finite.
    """

    operator: Operator
    noise_stddev: float = 0.0
    rescaled: bool = False

    def __post_init__(self):
        if not 0 <= self.noise_stddev < math.inf:
            raise InputError(
                f"Expected noise_stddev as a number from 0 on. Received: {self.noise_stddev!r}."
            )

    def __call__(self, images, seed=0, first=0, **conditions):
        """Observes images.

        Args:
          images: clean images `[batch, height, width, channels]` in [0, 1], or uint8.
          seed: of the noise.
          first: index of the first image: image i gets the noise of `(seed, first + i)`.
          **conditions: those of the operator.
        Returns:
          Measurements as the operator shapes them, float32.
        Raises:
          InputError: see `tfgpr.images.as_images` (symbolic tensors are not looked at); a
            missing or superfluous condition.
        """
        require_conditions(self.operator, type(self.operator).__name__, conditions)
        if not tf.is_symbolic_tensor(images):
            images = as_images(images)
        measured = self.operator(tf.convert_to_tensor(images, tf.float32), **conditions)
        if self.noise_stddev:
            measured = measured + self.noise_stddev * self._noise(measured, seed, first)
        return _stretch(measured) if self.rescaled else measured

    def _noise(self, measured, seed, first):
        indices = tf.range(first, first + tf.shape(measured)[0])
        return tf.map_fn(
            lambda index: tf.random.stateless_normal(
                tf.shape(measured)[1:], tf.stack([seed, index])
            ),
            indices,
            fn_output_signature=tf.float32,
        )


def _stretch(images):
    low = tf.reduce_min(images, axis=[1, 2, 3], keepdims=True)
    high = tf.reduce_max(images, axis=[1, 2, 3], keepdims=True)
    return tf.math.divide_no_nan(images - low, high - low)
