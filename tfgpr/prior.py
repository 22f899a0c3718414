"""`GanPrior`: a trained generator, its discriminator, the law of z, and the crop.

On disk a prior is one folder:

    model.json    what the networks are, the latent law, the crop, how it was trained
    weights.npz   their weights in order, `precision.half` (DCGAN networks; loads on Keras 2 and 3)
    residual.npz  those of the network of nu, where one was trained (tfgpr.residual)
    encoder.npz   those of the network that starts the search (tfgpr.initialization.Encoder)
    *.keras       the networks, where they are not tfgpr's DCGAN (one Keras version only)
"""

import copy
import hashlib
import json
import pathlib
import zipfile

import keras
import numpy as np
import tensorflow as tf

from tfgpr import health, networks, precision
from tfgpr import latent as latent_laws
from tfgpr.errors import InputError
from tfgpr.files import atomic_folder, atomic_path, write_json
from tfgpr.folding import Folded
from tfgpr.gan import recompute_batch_norm
from tfgpr.images import FACE_CROP
from tfgpr.initialization import Encoder
from tfgpr.residual import Residual
from tfgpr.version import __version__

FORMAT = 1
SHIPPED = pathlib.Path(__file__).parent / "priors" / "celeba64"
_NETWORKS = ("generator", "discriminator")
_DESCRIBED = ("crop", "training", "latent", "architecture", "sha256")  # by model.json
_PARTS = {"residual": Residual, "encoder": Encoder}  # what a prior may have learned besides


class GanPrior:
    """A generative prior over images, with the public range [0, 1] on the outside.

        prior = tfgpr.load_prior()                    # the shipped one, or a folder's
        prior.sample(4)                               # [4, 64, 64, 3] in [0, 1]
        prior = tfgpr.GanPrior.from_gan(gan)          # a trained tfgpr.GAN
        prior = tfgpr.GanPrior(generator, discriminator, tfgpr.latent.Gaussian(64), crop=None)

    Args:
      generator: Keras model, z `[batch, latent.dim]` -> images `[batch, size, size, 3]` in
        [-1, 1].
      discriminator: Keras model, images in [-1, 1] -> logits `[batch, 1]`.
      latent: the law of z: `tfgpr.latent.Uniform` or `Gaussian`.
      crop: side of the square that was cut from a training image, relative to its width;
        None: training images were used whole.
      architecture: `{"generator": arguments, "discriminator": arguments}` of
        `tfgpr.networks`' DCGAN functions, or None for other Keras models.
      training: any JSON value that tells how the weights came to be.
    Raises:
      InputError: networks whose shapes do not fit.

    Attributes:
      residual: a `tfgpr.residual.Residual`, the prior of what G cannot draw, or None.
      encoder: a `tfgpr.initialization.Encoder`, which starts the search, or None.
    """

    def __init__(
        self, generator, discriminator, latent, crop=FACE_CROP, architecture=None, training=None
    ):
        shapes = generator.input_shape[1:], generator.output_shape[1:], discriminator.output_shape
        size = generator.output_shape[1]
        if shapes[:2] != ((latent.dim,), (size, size, 3)) or shapes[2][-1] != 1:
            raise InputError(
                f"Expected a generator from [batch, {latent.dim}] (the latent law's) to [batch, "
                "size, size, 3], and a discriminator to [batch, 1]. Received: from "
                f"{generator.input_shape} to {generator.output_shape}, and to "
                f"{discriminator.output_shape}."
            )
        self.residual = self.encoder = None
        self.generator = generator
        self.discriminator = discriminator
        self.latent = latent
        self.crop = crop
        self.architecture = architecture
        self.training = training or {}

    @classmethod
    def dcgan(
        cls,
        generator,
        discriminator,
        latent_law="uniform",
        crop=FACE_CROP,
        dtype="float32",
        training=None,
    ):
        """A prior of untrained DCGAN networks.

        Args:
          generator, discriminator: dicts of arguments of `tfgpr.networks.dcgan_generator`
            and `dcgan_discriminator`, without `dtype`.
          latent_law: "uniform" or "gaussian".
          crop, training: as in the constructor.
          dtype: "float32", "mixed_bfloat16" or "auto"; see `tfgpr.precision`.
        """
        dtype = precision.resolve(dtype)
        built = networks.dcgan_generator(**generator, dtype=dtype)
        return cls(
            built,
            networks.dcgan_discriminator(**discriminator, dtype=dtype),
            latent_laws.law(latent_law, built.input_shape[-1]),
            crop,
            {"generator": dict(generator), "discriminator": dict(discriminator)},
            training,
        )

    @classmethod
    def from_gan(cls, gan, crop=FACE_CROP, architecture=None, training=None, batches=20):
        """The prior that a `tfgpr.GAN` has learned: its averaged generator and D.

        Args:
          gan: a `GAN`. The batch norm of its averaged generator is brought up to date.
          crop, architecture, training: as in the constructor.
          batches: how many batches of draws the batch norm's statistics are taken from.
        """
        recompute_batch_norm(gan.ema_generator, gan.latent, batches)
        generator, discriminator = gan.ema_generator, gan.discriminator
        return cls(generator, discriminator, gan.latent, crop, architecture, training)

    @property
    def image_size(self):
        """Side of the images in pixels."""
        return self.generator.output_shape[1]

    def generate(self, z):
        """G(z): z `[batch, dim]` -> images in [0, 1], in inference mode."""
        return tf.cast(self.generator(z, training=False), tf.float32) * 0.5 + 0.5

    def logits(self, images):
        """The logit of D(x), `[batch]`, for images in [0, 1], in inference mode."""
        return tf.cast(self.discriminator(images * 2.0 - 1.0, training=False), tf.float32)[:, 0]

    def folded(self):
        """The same prior with its networks as `tfgpr.folding.Folded`: for the length of one
        computation, with the weights of now."""
        copied = copy.copy(self)
        copied.generator = Folded(self.generator)
        copied.discriminator = Folded(self.discriminator)
        return copied

    def sample(self, count, seed=0):
        """`count` random images in [0, 1]."""
        return self.generate(self.latent.sample(count, (seed, 0)))

    def save(self, path, overwrite=False):
        """Writes the prior's folder, whole or not at all.

        Raises:
          InputError: the folder holds something and `overwrite` is false.
        """
        with atomic_folder(path, overwrite) as folder:
            self.write(folder)

    def write(self, folder):
        """Writes the prior's files into an existing folder beside what is there.

        `model.json`, which carries the checksums of the others, comes last.
        """
        folder = pathlib.Path(folder)
        if self.architecture:
            names = ["weights.npz"]
            _save_weights(folder / names[0], {name: getattr(self, name) for name in _NETWORKS})
        else:
            names = [f"{name}.keras" for name in _NETWORKS]
            for name, file in zip(_NETWORKS, names):
                with atomic_path(folder / file) as partial:
                    getattr(self, name).save(partial)
        parts = {name: getattr(self, name) for name in _PARTS if getattr(self, name)}
        for name, part in parts.items():
            names.append(f"{name}.npz")
            _save_weights(folder / names[-1], {name: part.network})
        description = {
            "format": FORMAT,
            "tfgpr": __version__,
            "keras": keras.__version__,
            "image_size": self.image_size,
            "crop": self.crop,
            "latent": {"law": self.latent.name, "dim": self.latent.dim},
            "architecture": self.architecture,
            "sha256": {name: _sha256(folder / name) for name in names},
            "training": self.training,
        }
        for name, part in parts.items():
            description[name] = {"architecture": part.architecture, "training": part.training}
        write_json(folder / "model.json", description)

    @classmethod
    def load(cls, path, dtype="auto"):
        """Reads a prior's folder.

        Args:
          path: the folder that `save`, or training, wrote.
          dtype: what the networks compute in; "float32", "mixed_bfloat16" or "auto".
        Raises:
          InputError: the folder is absent, incomplete, damaged, or of a format that this
            version does not read.
        """
        path = pathlib.Path(path)
        description = _read_description(path)
        crop, training = description["crop"], description["training"]
        latent = description["latent"]
        if description["architecture"]:
            prior = cls.dcgan(
                **description["architecture"],
                latent_law=latent["law"],
                crop=crop,
                dtype=dtype,
                training=training,
            )
            pair = {name: getattr(prior, name) for name in _NETWORKS}
            _load_weights(path / "weights.npz", pair)
        else:
            pair = [keras.models.load_model(path / f"{name}.keras") for name in _NETWORKS]
            law = latent_laws.law(latent["law"], latent["dim"])
            prior = cls(*pair, law, crop, None, training)
        for name, kind in _PARTS.items():
            if name in description:
                part = kind.untrained(**description[name], dtype=precision.resolve(dtype))
                _load_weights(path / f"{name}.npz", {name: part.network})
                setattr(prior, name, part)
        return prior


def load_prior(path=None, dtype="auto"):
    """The prior in folder `path`; None: the one shipped with tfgpr (64x64 faces).

    Warns, once for each folder, where its record says that it is untrained or collapsed
    (`tfgpr.health`).

    Args:
      path: a folder written by `GanPrior.save` or `scripts/train.py`.
      dtype: what the networks compute in: "float32", "mixed_bfloat16", or "auto" (see
        `tfgpr.precision.resolve`).
    Returns:
      A `GanPrior`.
    Raises:
      InputError: the folder is absent, incomplete, damaged, or of another format.
    """
    path = SHIPPED if path is None else path
    prior = GanPrior.load(path, dtype)
    health.warn_once(path, prior.training)
    return prior


def _save_weights(path, networks):
    weights = {
        f"{name}/{index:03d}": precision.half(weight)
        for name, network in networks.items()
        for index, weight in enumerate(network.get_weights())
    }
    with atomic_path(path) as partial, open(partial, "wb") as file:
        np.savez(file, **weights)


def _load_weights(path, networks):
    try:
        with np.load(path) as stored:
            for name, network in networks.items():
                keys = sorted(key for key in stored.files if key.startswith(name))
                network.set_weights([stored[key].astype(np.float32) for key in keys])
    except (ValueError, zipfile.BadZipFile) as error:
        raise InputError(
            f"Expected weights of the networks that {path.parent}/model.json describes. "
            f"Received: others ({error}); train or copy the prior again."
        ) from error


def _sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _read_description(path):
    file = path / "model.json"
    if not file.is_file():
        raise InputError(
            f"Expected a prior: a folder with model.json. Received: {path}, which has none. Give "
            "the --model_dir of a training run that has saved at least once, or leave it out "
            "for the shipped prior."
        )
    try:
        description = json.loads(file.read_text())
        version = description["format"]
        absent = [name for name in _DESCRIBED if name not in description]
        if version == FORMAT and absent:
            raise KeyError(*absent)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"Expected a prior's description. Received: {file}, damaged ({error!r})."
        ) from error
    if version != FORMAT:
        raise InputError(
            f"Expected a prior of format {FORMAT}. Received: format {version} in {file}, written "
            f"by tfgpr {description.get('tfgpr')}; install that version, or train again."
        )
    for name, digest in description["sha256"].items():
        if not (path / name).is_file() or _sha256(path / name) != digest:
            raise InputError(
                f"Expected the whole {name} that {file} names. Received: a missing, half-written "
                "or changed one; copy or train the prior again."
            )
    return description
