"""The long run: `train` fits a GAN, and can be killed and resumed at any moment.

A run's folder:

    model.json, *.npz         the prior (averaged generator): `load_prior(folder)`; with a judge
                              the one of best inversion PSNR so far, without one the newest
    recipe.json               what the run was started with
    checkpoints/              whole training states (two newest)
    samples/                  a grid of the same 64 draws after each epoch
    log.csv, tensorboard/     losses by epoch, judgements by step
    state.npz                 when it has ended: a small state for --start_from elsewhere; of a
                              run that diverged the last good one
"""

import dataclasses
import inspect
import json
import pathlib
import sys

import keras
import tensorflow as tf

from tfgpr import addons, networks, precision
from tfgpr.errors import InputError
from tfgpr.files import require_free, write_json
from tfgpr.gan import GAN, synchronize_batch_norm
from tfgpr.images import FACE_CROP
from tfgpr.interrupts import Held
from tfgpr.prior import GanPrior
from tfgpr.training_run import Log, Run, has_tensorboard
from tfgpr.training_state import load_state, save_state


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
      cutout: DiffAugment also hides a square of each image; for small sets.
      reconstruction_weight: above 0, an encoder as wide as D is trained along, and G is held
        to the real images by this weight; see `tfgpr.gan`.
      optimizer: Keras's name of all optimizers', such as "Adam" or "Addons>RectifiedAdam".
      learning_rate, beta_1: of all optimizers (beta_1 where theirs has one).
      discriminator_learning_rate: of D's, where it is another (Heusel et al. 2017, two time
        scales); None: `learning_rate`.
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
    cutout: bool = False
    reconstruction_weight: float = 0.0
    optimizer: str = "Adam"
    learning_rate: float = 2e-4
    beta_1: float = 0.5
    discriminator_learning_rate: float | None = None
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
        encoder = None
        if self.reconstruction_weight:
            encoder = networks.dcgan_encoder(
                self.image_size,
                prior.architecture["discriminator"]["base_channels"],
                self.latent_dim,
                self.kernel_size,
                latent_law=self.latent_law,
                dtype=precision.policy_of(prior.generator),
            )
        gan = GAN(
            prior.generator,
            prior.discriminator,
            latent_law=self.latent_law,
            r1_gamma=self.r1_gamma,
            augment=self.augment,
            cutout=self.cutout,
            encoder=encoder,
            reconstruction_weight=self.reconstruction_weight,
            seed=self.seed,
        )
        rates = {"discriminator": self.discriminator_learning_rate}
        gan.compile(
            *(
                make_optimizer(self.optimizer, rates.get(name) or self.learning_rate, self.beta_1)
                for name in gan.trained
            )
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
    judge=None,
    judge_every=500,
    picture_every=1,
    strategy=None,
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
      provenance: JSON values for model.json (what data); a resumed run must have the same.
      judge: None, or a `tfgpr.judge.QuickJudge`: its best prior is the one that is kept; the one
        that the run ended with is in the folder `last` then.
      judge_every: steps between two judgements; 0: at the end only.
      picture_every: steps, at least, between two sample grids (at ends of epochs).
      strategy: a `tf.distribute` strategy to train under, such as `MirroredStrategy()`; its
        replicas share each batch.
    Returns:
      The `GanPrior` that `model_dir` holds then.
    Raises:
      KeyboardInterrupt: interrupted, once the step has ended and a checkpoint and a usable prior
        are written.
      InputError: `model_dir` is taken; nothing to resume; another recipe or data there; no
        epoch left after `start_from`; a batch that the replicas cannot share; a dataset without
        images; losses or weights that are no longer finite, or a discriminator that has won or
        run away: the last good checkpoint is kept, and is `state.npz` as well.
    """
    model_dir = pathlib.Path(model_dir)
    keras.utils.set_random_seed(recipe.seed)
    about = {**(provenance or {}), "recipe": dataclasses.asdict(recipe)}
    dtype = precision.resolve(dtype)
    gan = _build(recipe, dtype, strategy or tf.distribute.get_strategy())
    checkpoints = str(model_dir / "checkpoints")
    if start_from is not None and not (resume and tf.train.latest_checkpoint(checkpoints)):
        load_state(gan, start_from, dataclasses.asdict(recipe), dataclasses.asdict(Recipe()))
        if not resume:
            _require_more(epochs, steps_per_epoch, int(gan.steps.numpy()))
    _claim(model_dir, recipe, provenance or {}, resume)
    averaged = recipe.prior(dtype, about)
    total = steps_per_epoch * epochs
    run = Run(
        gan, averaged, model_dir, total, checkpoint_minutes, judge, judge_every, picture_every
    )
    if resume:
        run.restore()
    if start_from is not None and not run.manager.latest_checkpoint:
        run.save()  # killed before the next one, it goes on from here
    done = run.step
    tf.random.set_seed(recipe.seed + done)  # a resumed run draws new numbers, not the old ones
    batches = make_batches(recipe.seed + done)

    def fit(first_epoch, last_epoch, steps):
        with Held() as interrupts:
            between = keras.callbacks.LambdaCallback(
                on_train_batch_end=lambda batch, logs: interrupts.deliver()
            )
            gan.fit(
                batches,
                initial_epoch=first_epoch,
                epochs=last_epoch,
                steps_per_epoch=steps,
                verbose=1 if sys.stdout.isatty() else 2,
                callbacks=[run, *_loggers(model_dir), between],
            )

    interrupted = False
    try:
        epoch, into_epoch = divmod(done, steps_per_epoch)
        if into_epoch and epoch < epochs:
            fit(epoch, epoch + 1, steps_per_epoch - into_epoch)
            epoch += 1
        if epoch < epochs:
            fit(epoch, epochs, steps_per_epoch)
    except KeyboardInterrupt:
        interrupted = True
        print(f"\nInterrupted at step {int(gan.steps.numpy())}; saving. --resume continues here.")
    except InputError:
        if run.manager.latest_checkpoint:  # what --start_from goes on from, with other rates
            run.manager.checkpoint.restore(run.manager.latest_checkpoint)
            save_state(gan, model_dir / "state.npz", dataclasses.asdict(recipe))
        raise
    except ValueError as error:
        if "Empty logs" not in str(error):  # what Keras 2 says where there was no batch
            raise
    if not interrupted and int(gan.steps.numpy()) < total:
        raise InputError(
            f"Expected images for {total} steps. Received: a dataset that ended after "
            f"{int(gan.steps.numpy())}, as one does of which no image could be read (see the "
            "warnings above); choose other images, and a new folder."
        )
    run.finish(interrupted)
    save_state(gan, model_dir / "state.npz", dataclasses.asdict(recipe))
    if interrupted:
        raise KeyboardInterrupt
    return GanPrior.load(model_dir, dtype)


def _build(recipe, dtype, strategy):
    """The compiled GAN, its variables and optimizers under a strategy."""
    replicas = strategy.num_replicas_in_sync
    if recipe.batch_size % replicas:
        raise InputError(
            f"Expected a batch size that {replicas} replicas can share. Received: "
            f"{recipe.batch_size}; choose a multiple of {replicas}."
        )
    with strategy.scope():
        gan = recipe.gan(recipe.prior(dtype))
    if replicas > 1:
        synchronize_batch_norm(gan.generator)
    return gan


def _require_more(epochs, steps_per_epoch, done):
    if done >= epochs * steps_per_epoch:
        raise InputError(
            f"Expected more epochs than the {done} steps of --start_from already make, at "
            f"{steps_per_epoch} steps each. Received: --epochs={epochs}; it counts those, too."
        )


def _claim(model_dir, recipe, provenance, resume):
    file = model_dir / "recipe.json"
    wanted = {**dataclasses.asdict(recipe), **provenance}
    if not resume:
        if file.is_file():
            raise InputError(
                f"Expected a new --model_dir. Received: {model_dir}, where a run was begun; "
                "--resume goes on with it."
            )
        require_free(model_dir)
        write_json(file, wanted)
        return
    if not file.is_file():
        raise InputError(f"Nothing to resume: {file} is absent. Start without --resume.")
    # A run that an earlier version began did without what it does not name.
    begun = {**dataclasses.asdict(Recipe()), **provenance, **json.loads(file.read_text())}
    if begun != wanted:
        names = sorted(k for k in {*begun, *wanted} if begun.get(k) != wanted.get(k))
        differences = ", ".join(f"{k}: {begun.get(k)} then, {wanted.get(k)} now" for k in names)
        raise InputError(
            f"The run in {model_dir} was begun with other settings ({differences}). Resume "
            "with the same flags and data, or choose a new --model_dir."
        )


def _loggers(model_dir):
    loggers = [Log(model_dir / "log.csv")]
    if has_tensorboard():
        folder = str(model_dir / "tensorboard")
        loggers.append(keras.callbacks.TensorBoard(folder, write_graph=False))
    return loggers
