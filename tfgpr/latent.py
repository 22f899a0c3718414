"""Latent laws p_z: what the generator was trained on, and what a search must respect."""

import math

import tensorflow as tf

from tfgpr.errors import InputError


class Uniform:
    """Independent uniform coordinates on [-1, 1] (the paper's choice).

    `log p_z` is constant inside the box and minus infinity outside, so in the objective the
    law *is* the box constraint that `project` enforces.

    Args:
      dim: number of coordinates.
    """

    name = "uniform"
    variance = 1.0 / 3.0

    def __init__(self, dim):
        self.dim = int(dim)

    def sample(self, count, seed):
        """`count` draws `[count, dim]`; `seed` is a pair of integers (stateless)."""
        return tf.random.stateless_uniform([count, self.dim], seed, -1.0, 1.0)

    def negative_log_prob(self, z):
        """`-log p_z(z)` up to its constant, `[batch]`: zero inside the box."""
        return tf.zeros(tf.shape(z)[:1], z.dtype)

    def project(self, z):
        """The nearest point where p_z is positive."""
        return tf.clip_by_value(z, -1.0, 1.0)


class Gaussian:
    """Independent standard normal coordinates.

    Args:
      dim: number of coordinates.
    """

    name = "gaussian"
    variance = 1.0

    def __init__(self, dim):
        self.dim = int(dim)

    def sample(self, count, seed):
        """`count` draws `[count, dim]`; `seed` is a pair of integers (stateless)."""
        return tf.random.stateless_normal([count, self.dim], seed)

    def negative_log_prob(self, z):
        """`-log p_z(z)` in nats, `[batch]`."""
        return 0.5 * tf.reduce_sum(z**2, axis=1) + 0.5 * self.dim * math.log(2 * math.pi)

    def project(self, z):
        """z itself: the law is positive everywhere."""
        return z


LAWS = {law.name: law for law in (Uniform, Gaussian)}


def law(name, dim):
    """The law that is called `name`, of `dim` coordinates.

    Raises:
      InputError: there is none of this name.
    """
    if name not in LAWS:
        raise InputError(f"Expected a latent law of {', '.join(LAWS)}. Received: {name!r}.")
    return LAWS[name](dim)
