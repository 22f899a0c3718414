"""What tests share: small priors, and scripts run in this process.

No file from outside the repository is read.
"""

import contextlib
import copy
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import pytest
from absl import flags

from tfgpr.gan import recompute_batch_norm
from tfgpr.initialization import Encoder
from tfgpr.prior import GanPrior
from tfgpr.residual import Residual

TINY = {"image_size": 32, "base_channels": 4}


@contextlib.contextmanager
def own_flags():
    """Forgets the flags that are defined inside, so that another script can define its own."""
    before = set(flags.FLAGS)
    try:
        yield
    finally:
        for flag in set(flags.FLAGS) - before:
            delattr(flags.FLAGS, flag)
        flags.FLAGS.unparse_flags()


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def make_tiny_prior(latent_dim=6):
    """Untrained 32x32 networks, scaled so that their random weights draw varied images."""
    keras.utils.set_random_seed(1)
    prior = GanPrior.dcgan({**TINY, "latent_dim": latent_dim}, {**TINY, "batch_norm": False})
    recompute_batch_norm(prior.generator, prior.latent, batches=4)
    last = [layer for layer in prior.generator.layers if layer.weights][-1]
    last.kernel.assign(10.0 * last.kernel)
    for layer in prior.discriminator.layers:
        if layer.weights:
            layer.kernel.assign(5.0 * layer.kernel)
    return prior


@pytest.fixture(scope="session")
def tiny_prior():
    return make_tiny_prior()


@pytest.fixture(scope="session")
def pale_prior(tiny_prior):
    """The tiny prior with all that it draws in [0.3, 0.7]: answers near that are not clipped."""
    prior = copy.copy(tiny_prior)
    prior.generate = lambda z: 0.3 + 0.4 * tiny_prior.generate(z)
    prior.folded = lambda: prior
    return prior


@pytest.fixture(scope="session")
def complete_prior():
    """The tiny prior with a network of nu, whose random weights move every pixel, and an
    untrained encoder."""
    prior = make_tiny_prior()
    keras.utils.set_random_seed(2)
    prior.residual = Residual.untrained({"image_size": 32, "channels": [4, 8]})
    last = [layer for layer in prior.residual.network.layers if layer.weights][-1]
    last.kernel.assign(0.1 * np.random.default_rng(0).standard_normal(last.kernel.shape))
    prior.encoder = Encoder.untrained({**TINY, "latent_dim": 6, "channels": 6})
    return prior
