"""Update rules for the latent as pure functions, so that a loop can carry their state.

    state = optimizer.init(z)
    z, state = optimizer.update(gradient, state, z)

A state is a tuple of tensors whose first axis is z's (so that a server can batch requests),
and no row of z influences another.
"""

import dataclasses
import math

import tensorflow as tf


def _count(z):
    return tf.zeros(tf.shape(z)[:1], tf.int32)


@dataclasses.dataclass(frozen=True)
class Adam:
    """Adam (Kingma & Ba 2015), with an optional half-cosine decay of the rate to zero.

    Scale-free: multiplying the objective by a constant changes nothing, so one rate serves
    all tasks.

    Attributes:
      learning_rate: about how far a coordinate of z moves in one step.
      beta_1, beta_2: decay of the two moments.
      epsilon: added to the root of the second moment.
      decay_steps: steps after which the rate has reached zero; None: constant.
    """

    learning_rate: float = 0.05
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    decay_steps: int | None = None

    def init(self, z):
        """Moments of zero and a step count of zero per row, for z `[batch, dim]`."""
        return tf.zeros_like(z), tf.zeros_like(z), _count(z)

    def update(self, gradient, state, z):
        """One step: the new z and the new state."""
        first, second, count = state
        count = count + 1
        step = tf.cast(count, z.dtype)[:, None]
        first = self.beta_1 * first + (1.0 - self.beta_1) * gradient
        second = self.beta_2 * second + (1.0 - self.beta_2) * gradient**2
        unbiased_first = first / (1.0 - self.beta_1**step)
        unbiased_second = second / (1.0 - self.beta_2**step)
        rate = self.learning_rate
        if self.decay_steps is not None:
            done = tf.minimum((step - 1.0) / self.decay_steps, 1.0)
            rate *= 0.5 * (1.0 + tf.cos(math.pi * done))
        z = z - rate * unbiased_first / (tf.sqrt(unbiased_second) + self.epsilon)
        return z, (first, second, count)


@dataclasses.dataclass(frozen=True)
class NesterovMomentum:
    """Nesterov's accelerated gradient, as in the released code of Yeh et al.

        v' = momentum * v - learning_rate * gradient
        z' = z - momentum * v + (1 + momentum) * v'

    Attributes:
      learning_rate: in units of z per unit of the objective's gradient.
      momentum: decay of the velocity.
    """

    learning_rate: float = 0.01
    momentum: float = 0.9

    def init(self, z):
        """A velocity of zero, for z `[batch, dim]`."""
        return (tf.zeros_like(z),)

    def update(self, gradient, state, z):
        """One step: the new z and the new state."""
        (velocity,) = state
        faster = self.momentum * velocity - self.learning_rate * gradient
        return z - self.momentum * velocity + (1.0 + self.momentum) * faster, (faster,)
