"""What the answer still owes to y: G(z) is moved to where it agrees with the observation.

consistency(generated, observed, **conditions) -> images in [0, 1]
"""

import numpy as np
import tensorflow as tf

from tfgpr.errors import InputError
from tfgpr.operators import GaussianBlur, Luma


def clip(images):
    return tf.clip_by_value(images, 0.0, 1.0)


def keep(generated, observed, **conditions):
    """G(z) as it is, where y is noisy everywhere (denoising)."""
    del observed, conditions
    return clip(generated)


def _neighbour_sum(images):
    """Sum over the up to four neighbours inside the image."""
    padded = tf.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]])
    vertical = padded[:, :-2, 1:-1] + padded[:, 2:, 1:-1]
    return vertical + padded[:, 1:-1, :-2] + padded[:, 1:-1, 2:]


def _laplacian(images):
    """Neighbours counted minus their sum: the graph Laplacian of the pixel grid."""
    return _neighbour_sum(tf.ones_like(images)) * images - _neighbour_sum(images)


def poisson_blend(generated, observed, known, iterations=500, tolerance=1e-5):
    """Poisson blending (Perez et al. 2003; Yeh et al. 2018, Section 2.4).

    Solves for the unknown pixels x: the gradients of x are those of G(z), and x = y on the
    known pixels. Conjugate gradients per image and channel, from G(z); an image that has
    converged is left alone, so its answer does not depend on its batch mates. Without a known
    pixel the answer is G(z).

    Args:
      generated: G(z), `[batch, height, width, channels]` in [0, 1].
      observed: y; what it holds in the hole is not read.
      known: `[batch, height, width, 1]`, 1 where observed; any shape of hole.
      iterations: at most so many.
      tolerance: of the residual, relative to the first one.
    Returns:
      Images in [0, 1].
    """
    known = tf.broadcast_to(known, tf.shape(generated)) > 0.5
    hole = tf.cast(~known, generated.dtype)
    x = tf.where(known, observed, generated)
    residual = hole * (_laplacian(generated) - _laplacian(x))

    def dot(a, b):
        return tf.reduce_sum(a * b, axis=[1, 2], keepdims=True)

    first = dot(residual, residual)

    def unfinished(squared):
        return squared > tolerance**2 * first

    def more(step, x, residual, direction, squared):
        del x, residual, direction
        return (step < iterations) & tf.reduce_any(unfinished(squared))

    def iterate(step, x, residual, direction, squared):
        active = tf.cast(unfinished(squared), x.dtype)
        image_of = hole * _laplacian(direction)
        length = active * tf.math.divide_no_nan(squared, dot(direction, image_of))
        x = x + length * direction
        residual = residual - length * image_of
        smaller = tf.where(active > 0, dot(residual, residual), squared)
        direction = residual + tf.math.divide_no_nan(smaller, squared) * direction
        return step + 1, x, residual, direction, smaller

    x = tf.while_loop(more, iterate, [0, x, residual, residual, first])[1]
    return clip(x)


class BackProjection:
    """x + A^+ (y - A x): the nearest image that has exactly the observed low resolution.

    Args:
      operator: a `tfgpr.operators.Separable`, whose pseudo-inverse is that of its matrices.
    """

    def __init__(self, operator):
        self.operator = operator

    def project(self, generated, observed):
        """The same, not clipped to [0, 1]."""
        _, height, width, _ = generated.shape
        rows, columns = (
            tf.constant(np.linalg.pinv(self.operator.matrix(size), rcond=1e-6), generated.dtype)
            for size in (height, width)
        )
        missing = observed - self.operator(generated)
        missing = tf.einsum("hi,biwc->bhwc", rows, missing)
        return generated + tf.einsum("wj,bhjc->bhwc", columns, missing)

    def __call__(self, generated, observed):
        return clip(self.project(generated, observed))


class LeastChange:
    """The image nearest to G(z) that A maps to y, for any linear operator:

        min ||x - G(z)||_2   such that   A x = y

    by conjugate gradients on the normal equations (CGLS; Bjorck 1996, Section 7.4), which
    need nothing but A and its adjoint. They stop early where y cannot be reached, and fewer
    iterations take over less of its noise. An image that has converged is left alone.

    With `smoothness` the change is B u, u is what is kept small, and B blurs (and passes a
    tenth of u): where A sees single pixels or their sums, their neighbours move along.

    Args:
      operator: a linear operator of `tfgpr.operators` or your own; its conditions are passed on.
      iterations: at most so many.
      tolerance: of the gradient A^T (y - A x), relative to the first one.
      smoothness: standard deviation in pixels of B's blur; 0: B is the identity.
    Raises:
      InputError: the operator is not linear.
    """

    def __init__(self, operator, iterations=50, tolerance=1e-5, smoothness=0.0):
        if not operator.linear:
            raise InputError(
                f"Expected a linear operator. Received: {type(operator).__name__}, which is not; "
                "write a consistency step of its own, or take consistency.keep."
            )
        self.operator = operator
        self.iterations = iterations
        self.tolerance = tolerance
        self.smoothness = smoothness
        self._blur = GaussianBlur(smoothness) if smoothness else None

    def _spread(self, u):
        """B u; B is its own transpose."""
        return u if self._blur is None else 0.1 * u + self._blur(u)

    def project(self, generated, observed, **conditions):
        """The same, not clipped to [0, 1]."""

        def transpose(measurements):
            images = self.operator.adjoint(measurements, generated.shape[1:], **conditions)
            return self._spread(tf.ensure_shape(images, generated.shape))

        missing = observed - self.operator(generated, **conditions)
        gradient = transpose(missing)
        first = _squared(gradient)

        def unfinished(squared):
            return squared > self.tolerance**2 * first

        def more(step, u, missing, direction, squared):
            del u, missing, direction
            return (step < self.iterations) & tf.reduce_any(unfinished(squared))

        def iterate(step, u, missing, direction, squared):
            measured = self.operator(self._spread(direction), **conditions)
            length = tf.math.divide_no_nan(squared, _squared(measured))
            length *= tf.cast(unfinished(squared), u.dtype)
            u += _times(length, direction)
            missing -= _times(length, measured)
            gradient = transpose(missing)
            smaller = tf.where(unfinished(squared), _squared(gradient), squared)
            direction = gradient + _times(tf.math.divide_no_nan(smaller, squared), direction)
            return step + 1, u, missing, direction, smaller

        start = [0, tf.zeros_like(generated), missing, gradient, first]
        return generated + self._spread(tf.while_loop(more, iterate, start)[1])

    def __call__(self, generated, observed, **conditions):
        return clip(self.project(generated, observed, **conditions))


def _squared(values):
    """Squared norm of each row, `[batch]`."""
    return tf.reduce_sum(values**2, axis=list(range(1, values.shape.rank)))


def _times(factors, values):
    """Each row of `values` times its factor `[batch]`."""
    return tf.reshape(factors, [-1] + [1] * (values.shape.rank - 1)) * values


def shift_luma(generated, observed):
    """Adds one number to R, G and B of each pixel, so that its luma is the observed one."""
    return clip(generated + (observed - Luma()(generated)))


def scale_value(generated, observed):
    """Scales R, G and B of each pixel, so that its largest is the observed value (HSV's V)."""
    value = tf.reduce_max(generated, axis=-1, keepdims=True)
    return clip(tf.where(value > 0, generated * tf.math.divide_no_nan(observed, value), observed))


class ClipToCell:
    """Moves each value into the quantisation cell `y -+ 1/(2 steps)` that it was rounded from.

    Args:
      steps: as in `tfgpr.operators.Quantize`.
    """

    def __init__(self, steps):
        self.steps = steps

    def __call__(self, generated, observed):
        half = 0.5 / self.steps
        return clip(tf.clip_by_value(generated, observed - half, observed + half))
