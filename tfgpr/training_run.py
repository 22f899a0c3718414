"""What happens beside the steps of a training run: checkpoints, judgements, pictures, alarms.

`Run` is the Keras callback that `tfgpr.training.train` gives to `fit`.
"""

import csv
import importlib.util
import math
import pathlib
import time

import keras
import numpy as np
import tensorflow as tf

from tfgpr.errors import InputError
from tfgpr.files import atomic_path
from tfgpr.gan import recompute_batch_norm, tensorflow_variables
from tfgpr.images import grid, write_png
from tfgpr.initialization import Encoder
from tfgpr.prior import GanPrior
from tfgpr.training_state import networks, optimizer_variables, optimizers

CHECK_EVERY = 20  # steps from one look at the losses to the next
D_WON = 0.05  # D's mean loss below which it tells every image; at equality it is 2 log 2
D_LOST = 10.0  # D's mean loss above which its logits have run away, finite as they may be
PATIENCE = 500  # steps for which D may stay below: at the very beginning it often does
WARM_UP = 5  # steps that trace and fill caches, not counted in the estimate
LAST = "last"  # folder, in a judged run's, of the prior that it ended with
JUDGED = ("inversion_psnr", "sliced_wasserstein", "ms_ssim")


class Run(keras.callbacks.Callback):
    """Keeps what a run has reached, and stops it where it has failed.

    Args:
      gan: the compiled `GAN`.
      averaged: a `GanPrior` with networks of its own, which takes the averaged generator's
        weights to be judged and saved.
      model_dir: the run's folder.
      total: steps of the whole run.
      checkpoint_minutes: time between two checkpoints.
      judge: None, or a function of a prior that returns the record of `tfgpr.health`.
      judge_every: steps between two judgements.
      picture_every: steps, at least, between two sample grids.
    """

    def __init__(
        self, gan, averaged, model_dir, total, checkpoint_minutes, judge, judge_every, picture_every
    ):
        super().__init__()
        self.gan = gan
        self.averaged = averaged
        self.about = dict(averaged.training)
        self.model_dir = pathlib.Path(model_dir)
        self.total = total
        self.seconds = 60.0 * checkpoint_minutes
        self.judge = judge
        self.judge_every = judge_every
        self.picture_every = picture_every
        self.saved_at = time.monotonic()
        self.pictured = self.judged = self.low_since = None
        self.best = -math.inf
        self.fresh = {}  # what was judged since the last epoch's end
        self.whole = False  # whether model_dir holds a prior of this run, completely written
        # Explicit lists of variables: the same on Keras 2 and 3.
        checkpoint = tf.train.Checkpoint(
            steps=gan.steps,
            **{n: tensorflow_variables(getattr(gan, n).variables) for n in networks(gan)},
            **{
                n: tensorflow_variables(optimizer_variables(getattr(gan, n)))
                for n in optimizers(gan)
            },
        )
        folder = str(self.model_dir / "checkpoints")
        self.manager = tf.train.CheckpointManager(checkpoint, folder, 2)
        self.board = None
        if has_tensorboard():
            self.board = tf.summary.create_file_writer(str(self.model_dir / "tensorboard" / "run"))
        self.begin()

    def begin(self):
        """Counts from where the GAN is."""
        self.step = self.first = int(self.gan.steps.numpy())

    def restore(self):
        """Goes back to the latest checkpoint, and to the best prior so far."""
        if self.manager.latest_checkpoint:  # else it was killed before the first one
            self.manager.checkpoint.restore(self.manager.latest_checkpoint).assert_consumed()
        self.begin()
        try:
            record = GanPrior.load(self.model_dir, "float32").training.get("health", {})
        except InputError:  # none yet, or killed while it was written
            return
        self.whole = True
        if self.judge is not None:
            self.best = record.get("inversion_psnr", -math.inf)

    def save(self):
        """Writes a checkpoint; refuses weights that are no longer finite."""
        for name in networks(self.gan):
            if not all(
                np.isfinite(weight).all() for weight in getattr(self.gan, name).get_weights()
            ):
                self._fail(f"weights of the {name} are no longer finite")
        self.manager.save(int(self.gan.steps.numpy()))
        self.saved_at = time.monotonic()

    def refresh(self, batches=20):
        """Brings `averaged` up to date: its weights, and batch-norm statistics for them."""
        pairs = (("generator", "ema_generator"), ("discriminator", "discriminator"))
        for name, source in pairs:
            getattr(self.averaged, name).set_weights(getattr(self.gan, source).get_weights())
        recompute_batch_norm(self.averaged.generator, self.averaged.latent, batches)
        if self.gan.encoder:
            encoder = self.averaged.encoder or Encoder.for_prior(self.averaged)
            encoder.take_over(self.gan.encoder)
            self.averaged.encoder = encoder

    def save_prior(self, record=None):
        """Writes `averaged` as the prior in the run's folder."""
        self.averaged.training = {**self.about, "steps": self.step}
        if record is not None:
            self.averaged.training |= {"kept": "best inversion PSNR so far", "health": record}
        self.whole = False
        self.averaged.write(self.model_dir)
        self.whole = True

    def judge_now(self):
        """Judges the averaged generator, and keeps it if none before drew faces as well."""
        self.refresh()
        record = {"step": self.step, **self.judge(self.averaged)}
        self.judged = self.step
        self.fresh = {name: record[name] for name in JUDGED if name in record}
        if record["inversion_psnr"] > self.best:
            self.save_prior(record)
            self.best = record["inversion_psnr"]
        shown = ", ".join(f"{name} {value:.3f}" for name, value in self.fresh.items())
        print(f"\nstep {self.step}: {shown}; best inversion_psnr {self.best:.2f}", flush=True)
        self._summarise({f"judged/{name}": value for name, value in self.fresh.items()})

    def finish(self, interrupted=False):
        """Ends a run, or an interrupted one, with a checkpoint and a usable prior."""
        self.step = int(self.gan.steps.numpy())
        self.save()
        if self.judge is not None and not interrupted and self.judged != self.step:
            self.judge_now()
        if self.best == -math.inf or not self.whole:
            self.refresh()
            self.save_prior()
        if self.judge is not None:  # the best of a few noisy figures need not be the better one
            self.refresh()
            self.averaged.training = {**self.about, "steps": self.step}
            self.averaged.save(self.model_dir / LAST, overwrite=True)

    def on_epoch_begin(self, epoch, logs=None):
        self.looked = (0, 0.0)  # steps into the epoch, and D's summed loss until there

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        if self.step == self.first + WARM_UP:
            self.warm_at = time.monotonic()
        if self.step == self.first + WARM_UP + CHECK_EVERY:
            self._estimate((time.monotonic() - self.warm_at) / CHECK_EVERY)
        due = time.monotonic() - self.saved_at > self.seconds
        judge = self.judge is not None and self.judge_every and self.step % self.judge_every == 0
        if due or judge or self.step % CHECK_EVERY == 0:
            self._look(batch + 1)
        if due and self.low_since is None:  # a D that has won is not kept
            self.save()
        if judge:
            self.judge_now()

    def on_epoch_end(self, epoch, logs=None):
        self._look(None)
        if self.step == self.first:  # no image came
            return
        lately = self.pictured is not None and self.step - self.pictured < self.picture_every
        if not lately or self.step >= self.total:
            self.pictured = self.step
            self.refresh(batches=4)
            if self.best == -math.inf:
                self.save_prior()
            picture = grid(np.asarray(self.averaged.sample(64)), columns=8)
            write_png(self.model_dir / "samples" / f"epoch_{epoch + 1:04d}.png", picture)
            self._summarise({}, picture)
        if logs is not None:
            logs.update(self.fresh)
        self.fresh = {}

    def _look(self, steps):
        """Raises InputError where the losses say that the game is over."""
        means = {name: float(mean.result()) for name, mean in self.gan.trackers.items()}
        bad = [name for name, value in means.items() if not math.isfinite(value)]
        if bad:
            self._fail(f"{', '.join(bad)} no longer finite")
        before, summed = self.looked
        if steps is None or steps <= before:
            return
        self.looked = (steps, steps * means["d_loss"])
        lately = (self.looked[1] - summed) / (steps - before)
        if lately > D_LOST:
            self._fail(f"D's loss has run away to {lately:.3g}, where guessing has 1.39")
        if lately >= D_WON:
            self.low_since = None
        elif self.low_since is None:
            self.low_since = self.step
        elif self.step - self.low_since >= PATIENCE:
            self._fail(
                f"D's loss has been below {D_WON} for {PATIENCE} steps: it tells every image, and "
                "G learns nothing from it any more"
            )

    def _fail(self, what):
        remedy = "Begin again"
        if self.manager.latest_checkpoint:
            state = self.model_dir / "state.npz"
            remedy = f"Go on from the last good state in a new --model_dir (--start_from={state})"
        raise InputError(
            f"Training diverged at step {self.step}: {what}. {remedy} with a lower --learning_rate "
            "or --discriminator_learning_rate or a higher --r1_gamma, and with --augment."
        )

    def _estimate(self, seconds):
        left = self.total - self.step
        if left > 0:
            print(
                f"\nabout {seconds:.3g} s a step: {left} steps more take about "
                f"{duration(left * seconds)}",
                flush=True,
            )

    def _summarise(self, scalars, picture=None):
        if self.board is None:
            return
        with self.board.as_default(step=self.step):
            for name, value in scalars.items():
                tf.summary.scalar(name, value)
            if picture is not None:
                tf.summary.image("samples", picture[None])
        self.board.flush()


def has_tensorboard():
    """Whether it is installed: it no longer is with TensorFlow."""
    return importlib.util.find_spec("tensorboard") is not None


def duration(seconds):
    """Seconds in words: "40 s", "12 min", "5 h 20 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


class Log(keras.callbacks.Callback):
    """log.csv: one row for each epoch; columns may come and go, a repeated epoch replaces itself.

    Args:
      file: its path.
    """

    def __init__(self, file):
        super().__init__()
        self.file = pathlib.Path(file)

    def on_epoch_end(self, epoch, logs=None):
        rows = []
        if self.file.is_file():
            with open(self.file, newline="") as file:
                rows = [row for row in csv.DictReader(file) if _before(row, epoch)]
        rows.append({"epoch": epoch, **{name: float(value) for name, value in logs.items()}})
        names = list(dict.fromkeys(name for row in rows for name in row))
        with atomic_path(self.file) as partial, open(partial, "w", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(rows)


def _before(row, epoch):
    try:
        return int(row["epoch"]) < epoch and None not in row  # whole, and not to be repeated
    except (KeyError, TypeError, ValueError):
        return False
