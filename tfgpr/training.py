"""The long run: `train` fits a GAN, and can be killed and resumed at any moment.

A run's folder:

    model.json, weights.npz   the prior as it is now (averaged generator): `load_prior(folder)`
    recipe.json               what the run was started with
    checkpoints/              whole training states (two newest)
    samples/                  a grid of the same 64 draws after each epoch
    log.csv, tensorboard/     losses by epoch
    state.npz                 when it has ended: a small state for --start_from elsewhere
"""

import dataclasses
import importlib.util
import inspect
import json
import logging
import math
import pathlib
import sys
import time

import keras
import numpy as np
import tensorflow as tf

from tfgpr import addons, precision
from tfgpr.errors import InputError
from tfgpr.files import require_free, write_json
from tfgpr.gan import GAN, recompute_batch_norm
from tfgpr.images import FACE_CROP, grid, write_png
from tfgpr.prior import GanPrior
from tfgpr.training_state import LATER_FIELDS, load_state, save_state


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What decides the networks and their game; the defaults trained the shipped prior.

    Attributes:
      image_size: 32, 64 or 128.
      crop: see `tfgpr.images.crop_and_resize`.
      base_channels: of the generator; 128 is the paper's.
      discriminator_channels: None means three quarters of `base_channels`.
      latent_dim, latent_law: size and law of z ("uniform" or "gaussian").
      kernel_size: of all convolutions.
      discriminator_batch_norm, spectral_norm: what normalises D.
      r1_gamma: weight of the lazy R1 penalty.
      augment: DiffAugment on or off.
      optimizer: Keras's name of G's and D's, such as "Adam" or "Addons>RectifiedAdam".
      learning_rate, beta_1: of both optimizers (beta_1 where theirs has one).
      batch_size: real images in a step.
      seed: of everything random.
    """

    image_size: int = 64
    crop: float | None = FACE_CROP
    base_channels: int = 64
    discriminator_channels: int | None = None
    latent_dim: int = 256
    latent_law: str = "uniform"
    kernel_size: int = 5
    discriminator_batch_norm: bool = False
    spectral_norm: bool = False
    r1_gamma: float = 1.0
    augment: bool = True
    optimizer: str = "Adam"
    learning_rate: float = 2e-4
    beta_1: float = 0.5
    batch_size: int = 64
    seed: int = 0

    def prior(self, dtype="auto", training=None):
        """The untrained `GanPrior` of this recipe."""
        return GanPrior.dcgan(
            generator={
                "image_size": self.image_size,
                "base_channels": self.base_channels,
                "latent_dim": self.latent_dim,
                "kernel_size": self.kernel_size,
            },
            discriminator={
                "image_size": self.image_size,
                "base_channels": self.discriminator_channels or 3 * self.base_channels // 4,
                "kernel_size": self.kernel_size,
                "batch_norm": self.discriminator_batch_norm,
                "spectral_norm": self.spectral_norm,
            },
            latent_law=self.latent_law,
            crop=self.crop,
            dtype=dtype,
            training=training,
        )

    def gan(self, prior):
        """The compiled `GAN` that trains the networks of `prior`."""
        gan = GAN(
            prior.generator,
            prior.discriminator,
            latent_law=self.latent_law,
            r1_gamma=self.r1_gamma,
            augment=self.augment,
        )
        gan.compile(
            *(make_optimizer(self.optimizer, self.learning_rate, self.beta_1) for _ in range(2))
        )
        return gan


def make_optimizer(name, learning_rate, beta_1):
    """A Keras optimizer by the name under which Keras knows it.

    Args:
      name: of a class in `keras.optimizers`, or a registered one: "Package>Class".
        "Addons>..." is tensorflow-addons'.
      learning_rate, beta_1: its arguments; beta_1 where it has one, else left out.
    Raises:
      InputError: no such optimizer; it needs more arguments; tensorflow-addons is absent.
    """
    if name.startswith("Addons>"):
        addons.load(f"the optimizer {name}")
    made = getattr(keras.optimizers, name, None) or keras.saving.get_registered_object(name)
    if not hasattr(made, "apply_gradients") or made is keras.optimizers.Optimizer:
        raise InputError(
            "Expected the name of a Keras optimizer, such as Adam, RMSprop or "
            f"Addons>RectifiedAdam. Received: {name!r}."
        )
    given = {"learning_rate": learning_rate, "beta_1": beta_1}
    takes = inspect.signature(made).parameters
    try:
        return made(**{key: value for key, value in given.items() if key in takes})
    except TypeError as error:
        raise InputError(
            f"Expected an optimizer that a learning rate decides. Received: {name} ({error})."
        ) from error


def train(
    recipe,
    make_batches,
    steps_per_epoch,
    epochs,
    model_dir,
    resume=False,
    start_from=None,
    dtype="auto",
    checkpoint_minutes=3.0,
    provenance=None,
):
    """Trains to `epochs` epochs in all, saving as it goes; see the top of this file.

    Args:
      recipe: a `Recipe`.
      make_batches: function from a seed to an endless dataset of images in [0, 1].
      steps_per_epoch: steps in an epoch.
      epochs: epochs in all, those before a resumption counted.
      model_dir: the run's folder.
      resume: continue the run in `model_dir` rather than start one there.
      start_from: a `state.npz` of another run of the same recipe to start a new one from; its
        steps count.
      dtype: what the networks compute in; weights and losses are float32.
      checkpoint_minutes: time between two checkpoints; one more is written at the end.
      provenance: JSON values for model.json (what data, which command).
    Returns:
      The trained `GanPrior`.
    Raises:
      InputError: `model_dir` is taken; nothing to resume; another recipe was begun there;
        the losses are no longer finite.
    """
    model_dir = pathlib.Path(model_dir)
    keras.utils.set_random_seed(recipe.seed)
    about = {**(provenance or {}), "recipe": dataclasses.asdict(recipe)}
    prior = recipe.prior(precision.resolve(dtype), about)
    gan = recipe.gan(prior)
    if start_from is not None and not resume:
        load_state(gan, start_from, dataclasses.asdict(recipe))
    _claim(model_dir, recipe, resume)
    run = _Run(gan, prior, model_dir, checkpoint_minutes)
    if resume:
        run.restore()
    done = int(gan.steps.numpy())
    tf.random.set_seed(recipe.seed + done)  # a resumed run draws new numbers, not the old ones
    batches = make_batches(recipe.seed + done)

    def fit(first_epoch, last_epoch, steps):
        gan.fit(
            batches,
            initial_epoch=first_epoch,
            epochs=last_epoch,
            steps_per_epoch=steps,
            verbose=1 if sys.stdout.isatty() else 2,
            callbacks=[run, *_loggers(model_dir)],
        )

    try:
        epoch, into_epoch = divmod(done, steps_per_epoch)
        if into_epoch and epoch < epochs:
            fit(epoch, epoch + 1, steps_per_epoch - into_epoch)
            epoch += 1
        if epoch < epochs:
            fit(epoch, epochs, steps_per_epoch)
    except KeyboardInterrupt:
        print(f"\nInterrupted at step {int(gan.steps.numpy())}; --resume continues from here.")
    run.save()
    save_state(gan, model_dir / "state.npz", dataclasses.asdict(recipe))
    return run.save_prior()


def _claim(model_dir, recipe, resume):
    file = model_dir / "recipe.json"
    wanted = dataclasses.asdict(recipe)
    if not resume:
        require_free(model_dir)
        write_json(file, wanted)
        return
    if not file.is_file():
        raise InputError(f"Nothing to resume: {file} is absent. Start without --resume.")
    begun = {**LATER_FIELDS, **json.loads(file.read_text())}
    if begun != wanted:
        names = sorted(k for k in {*begun, *wanted} if begun.get(k) != wanted.get(k))
        differences = ", ".join(f"{k}: {begun.get(k)} then, {wanted.get(k)} now" for k in names)
        raise InputError(
            f"The run in {model_dir} was begun with another recipe ({differences}). Resume with "
            "the same flags, or choose a new --model_dir."
        )


def _loggers(model_dir):
    loggers = [keras.callbacks.CSVLogger(str(model_dir / "log.csv"), append=True)]
    if importlib.util.find_spec("tensorboard"):  # no longer installed with TensorFlow
        folder = str(model_dir / "tensorboard")
        loggers.append(keras.callbacks.TensorBoard(folder, write_graph=False))
    return loggers


def _tensorflow_variables(variables):
    return [v if isinstance(v, tf.Variable) else v.value for v in variables]


def _optimizer_variables(optimizer):
    variables = optimizer.variables
    return _tensorflow_variables(variables() if callable(variables) else variables)


class _Run(keras.callbacks.Callback):
    """Checkpoints by the clock; the prior, a sample grid and a health check by the epoch."""

    def __init__(self, gan, prior, model_dir, checkpoint_minutes):
        super().__init__()
        self.gan = gan
        self.prior = prior
        self.model_dir = model_dir
        self.seconds = 60.0 * checkpoint_minutes
        self.saved_at = time.monotonic()
        # Explicit lists of variables: the same on Keras 2 and 3.
        checkpoint = tf.train.Checkpoint(
            steps=gan.steps,
            generator=_tensorflow_variables(gan.generator.variables),
            discriminator=_tensorflow_variables(gan.discriminator.variables),
            ema_generator=_tensorflow_variables(gan.ema_generator.variables),
            generator_optimizer=_optimizer_variables(gan.generator_optimizer),
            discriminator_optimizer=_optimizer_variables(gan.discriminator_optimizer),
        )
        self.manager = tf.train.CheckpointManager(checkpoint, str(model_dir / "checkpoints"), 2)

    def restore(self):
        if self.manager.latest_checkpoint:  # else it was killed before the first one
            self.manager.checkpoint.restore(self.manager.latest_checkpoint).assert_consumed()

    def save(self):
        self.manager.save(int(self.gan.steps.numpy()))
        self.saved_at = time.monotonic()

    def save_prior(self, batches=20):
        steps = int(self.gan.steps.numpy())
        recompute_batch_norm(self.gan.ema_generator, self.gan.latent, batches)
        averaged = GanPrior(
            self.gan.ema_generator,
            self.gan.discriminator,
            self.gan.latent,
            self.prior.crop,
            self.prior.architecture,
            {**self.prior.training, "steps": steps},
        )
        averaged.write(self.model_dir)
        return averaged

    def on_train_batch_end(self, batch, logs=None):
        if time.monotonic() - self.saved_at > self.seconds:
            self._require_finite(logs)
            self.save()

    def on_epoch_end(self, epoch, logs=None):
        self._require_finite(logs)
        averaged = self.save_prior(batches=4)
        picture = grid(np.asarray(averaged.sample(64)), columns=8)
        write_png(self.model_dir / "samples" / f"epoch_{epoch + 1:04d}.png", picture)

    def _require_finite(self, logs):
        bad = [name for name, value in (logs or {}).items() if not math.isfinite(float(value))]
        if bad:
            latest = self.manager.latest_checkpoint
            logging.error("Losses not finite at step %d: %s", int(self.gan.steps.numpy()), bad)
            raise InputError(
                f"Training diverged: {', '.join(bad)} no longer finite. The last good state is "
                f"{latest or 'the start'}; begin again with a lower --learning_rate."
            )
