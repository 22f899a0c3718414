"""Where the search starts. Every start is the same whatever else is in the batch.

initialization(prior, data, observed, starts, seed, **conditions) -> [batch, starts, dim]
"""

import dataclasses

import tensorflow as tf


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
