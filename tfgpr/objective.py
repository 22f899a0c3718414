"""The objective of the search, one number per image (Yeh et al. 2018, Eq. 3-5):

    L(z) = ||y - A(G(z))||_p^p + lambda * ( log(1 - D(G(z))) - log D(G(z)) - log p_z(z) )

The data term is a *sum* over the measurements, which are in [0, 1]; lambda is relative to
that sum. (The released code sums over images in [-1, 1], so its lambda is twice ours.)
"""

import tensorflow as tf

from tfgpr.errors import InputError


def _sum_per_image(values):
    return tf.reduce_sum(values, axis=list(range(1, values.shape.rank)))


def importance_weights(known, window=7):
    """Weights of known pixels by how much of their neighbourhood is unknown.

    Yeh et al. 2017 (Semantic Image Inpainting), Eq. 3: the share of unknown pixels in the
    window around a known pixel, zero for unknown ones.

    Args:
      known: `[batch, height, width, 1]`, 1 where observed.
      window: side of the square window in pixels, odd. At the border it is cut off.
    Returns:
      `[batch, height, width, 1]` in [0, 1].
    """
    mean_unknown = tf.nn.avg_pool2d(1.0 - known, window, strides=1, padding="SAME")
    return known * mean_unknown


class DataFidelity:
    """||y - A(x)||_p^p, `[batch]`: the sum over measurements of |y - A(x)|^p.

    Args:
      operator: the measurement operator A.
      p: 1 or 2.
      importance_window: weigh the pixels around a hole by `importance_weights` with this
        window; needs an operator with the condition `known`.
    Raises:
      InputError: another p; a window where the operator knows no mask.
    """

    def __init__(self, operator, p=1, importance_window=None):
        if p not in (1, 2):
            raise InputError(f"Expected p = 1 or 2. Received: {p!r}.")
        if importance_window is not None and "known" not in operator.conditions:
            raise InputError(
                "Expected an operator with a mask `known` for importance weights. Received: "
                f"{type(operator).__name__}."
            )
        self.operator = operator
        self.p = p
        self.importance_window = importance_window

    def __call__(self, z, images, observed, **conditions):
        del z
        distance = tf.abs(observed - self.operator(images, **conditions)) ** self.p
        if self.importance_window is not None:
            distance *= importance_weights(conditions["known"], self.importance_window)
        return _sum_per_image(distance)


class Realism:
    """log(1 - D(x)) - log D(x), `[batch]`: minus the discriminator's logit.

    Args:
      logits: function from images in [0, 1] to logits `[batch]`, as `GanPrior.logits`.
    """

    def __init__(self, logits):
        self.logits = logits

    def __call__(self, z, images):
        del z
        return -self.logits(images)


class LatentTerm:
    """-log p_z(z), `[batch]`.

    Args:
      latent: a law of `tfgpr.latent`.
    """

    def __init__(self, latent):
        self.latent = latent

    def __call__(self, z, images):
        del images
        return self.latent.negative_log_prob(z)


class Objective:
    """L(z), `[batch]`: the data term plus weighted terms of the prior.

    Args:
      generate: function from z to images in [0, 1], as `GanPrior.generate`.
      data: a `DataFidelity`.
      priors: pairs `(weight, term)`, each `term(z, images) -> [batch]`. A weight of zero
        costs nothing.
    """

    def __init__(self, generate, data, priors=()):
        self.generate = generate
        self.data = data
        self.priors = tuple((weight, term) for weight, term in priors if weight)

    @classmethod
    def of_prior(cls, prior, data, weight, terms=()):
        """The paper's objective for a `GanPrior`; `weight` is lambda, `terms` are added to it."""
        own = Realism(prior.logits), LatentTerm(prior.latent)
        return cls(prior.generate, data, [*((weight, term) for term in own), *terms])

    def __call__(self, z, observed, **conditions):
        images = self.generate(z)
        total = self.data(z, images, observed, **conditions)
        for weight, term in self.priors:
            total += weight * term(z, images)
        return total
