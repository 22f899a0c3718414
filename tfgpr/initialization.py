"""Where the search starts. Every start is the same whatever else is in the batch.

initialization(prior, data, observed, starts, seed, **conditions) -> [batch, starts, dim]
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfgpr import networks
from tfgpr.part import Part


@dataclasses.dataclass(frozen=True)
class ClippedNormal:
    """Standard normal draws clipped to [-1, 1], the same for every image (released code)."""

    def __call__(self, prior, data, observed, starts, seed, **conditions):
        del data, conditions
        z = tf.random.stateless_normal([starts, prior.latent.dim], (seed, 1))
        z = tf.clip_by_value(z, -1.0, 1.0)
        return tf.tile(z[None], [tf.shape(observed)[0], 1, 1])


@dataclasses.dataclass(frozen=True)
class Screened:
    """The best of a bank of draws, for each image by its own data term.

    Attributes:
      bank: how many z are drawn from the latent law and compared.
    """

    bank: int = 256

    def __call__(self, prior, data, observed, starts, seed, **conditions):
        z = prior.latent.sample(self.bank, (seed, 2))
        images = prior.generate(z)

        def choose(row):
            alone = {name: value[None] for name, value in row["conditions"].items()}
            fit = data(z, images, row["observed"][None], **alone)
            return tf.gather(z, tf.math.top_k(-fit, starts).indices)

        rows = {"observed": observed, "conditions": conditions}
        return tf.map_fn(choose, rows, fn_output_signature=tf.float32)


_CHANNELS = 48  # as in the shipped prior


class Encoder(Part):
    """A network that answers an observation with the z to start from, at once.

    It sees what y says of each pixel (`tfgpr.residual.Evidence`), so one serves every task.

    Its network is of `tfgpr.networks.dcgan_encoder`, with 6 channels.
    """

    make = staticmethod(networks.dcgan_encoder)

    @classmethod
    def for_prior(cls, prior, dtype="float32"):
        """An untrained one for a `GanPrior`: as wide as its discriminator where that is DCGAN's.

        Raises:
          InputError: images of a size that is not in `tfgpr.networks.IMAGE_SIZES`.
        """
        like = {"image_size": prior.image_size, "base_channels": _CHANNELS}
        like |= (prior.architecture or {}).get("discriminator", {})
        names = ("image_size", "base_channels", "kernel_size")
        architecture = {name: like[name] for name in names if name in like}
        architecture |= {"latent_dim": prior.latent.dim, "latent_law": prior.latent.name}
        return cls.untrained({**architecture, "channels": 6}, dtype)

    def take_over(self, network):
        """Becomes an encoder of clean images (one of 3 channels), deaf to uncertainty."""
        first, *rest = network.get_weights()
        self.network.set_weights([np.concatenate([first, 0.0 * first], axis=2), *rest])

    def __call__(self, found):
        """z `[batch, dim]` for an `Evidence`."""
        return tf.cast(self.network(encoder_input(found), training=False), tf.float32)


def encoder_input(found):
    """What the network of an `Encoder` is called with, `[batch, height, width, 6]`."""
    return tf.concat([found.images * 2.0 - 1.0, found.uncertainty], axis=-1)


@dataclasses.dataclass(frozen=True)
class Encoded:
    """The answer of the prior's `Encoder`, moved a little by each seed.

    Attributes:
      evidence: what y says of each pixel, `(estimate, observed, **conditions)` -> `Evidence`;
        it is asked beside a gray image.
      spread: the share of a draw from the latent law that is added, so that several starts
        differ.
      apart: the same for all but the first of several samples (`num_samples`): near the
        encoder's answer all searches end alike.
      without: what `Method.for_prior` takes instead where the prior has no encoder.
    """

    evidence: Callable = dataclasses.field(repr=False)  # a run that continues compares reprs
    spread: float = 0.1
    apart: float = 1.0
    without: Any = Screened()

    @property
    def further(self):
        """Where the searches of further samples start."""
        return dataclasses.replace(self, spread=self.apart)

    def __call__(self, prior, data, observed, starts, seed, **conditions):
        del data
        shape = [tf.shape(observed)[0], prior.image_size, prior.image_size, 3]
        found = prior.encoder(self.evidence(tf.fill(shape, 0.5), observed, **conditions))
        moved = found[:, None] + self.spread * prior.latent.sample(starts, (seed, 3))
        return prior.latent.project(moved)
