"""What all baselines have in common: checked input, learning from training faces, a cache."""

import importlib.util
import json
import zipfile

import numpy as np

from tfgpr.errors import InputError
from tfgpr.files import atomic_path


class Baseline:
    """A restoration method without a GAN.

    Subclasses set `name`, `tasks` and, if they learn from images, `learned`; they define
    `_restore` and `_fit`. Weights are constructor arguments whose defaults
    `scripts/tune_baselines.py` chose on training faces 007501-008000.

    Args:
      image_size: side of the restored images in pixels.
    Raises:
      InputError: scikit-image or scikit-learn is absent.

    Attributes:
      name: as in `--methods`.
      tasks: names of the tasks that it can do.
      learned: names of the arrays that `fit` learns; empty: there is nothing to fit.
      learned_with: names of the constructor's arguments that decide what they become.
    """

    name = ""
    tasks = ()
    learned = ()
    learned_with = ()

    def __init__(self, image_size=64):
        _require_extra()
        self.image_size = image_size

    def fit(self, images):
        """Learns from training images `[count, size, size, 3]`, uint8 or in [0, 1].

        Returns:
          The baseline itself.
        Raises:
          InputError: images of another shape.
        """
        images = np.asarray(images)
        expected = (self.image_size, self.image_size, 3)
        if images.ndim != 4 or images.shape[1:] != expected or not len(images):
            raise InputError(
                f"Expected training images of shape [count, {', '.join(map(str, expected))}]. "
                f"Received: shape {images.shape}; crop and resize them."
            )
        if self.learned:
            self._fit(images)
        return self

    def restore(self, task, observed, known=None):
        """Restores a batch of observations.

        Args:
          task: a task of `tfgpr.tasks`.
          observed: y as the task's corruption gives it, `[batch, ...]`.
          known: the mask, for inpainting only: `[batch or 1, size, size, 1]`.
        Returns:
          Images `[batch, size, size, 3]` in [0, 1], float32.
        Raises:
          InputError: a task that this method cannot do; `fit` was not called; bad input as
            for `tfgpr.Restorer.restore`.
        """
        if task.name not in self.tasks:
            raise InputError(
                f"Expected a task that {self.name} can do: {', '.join(self.tasks)}. "
                f"Received: {task.name}."
            )
        if any(not hasattr(self, name) for name in self.learned):
            raise InputError(
                f"{self.name} has learned nothing yet: call fit(images) or load(path)."
            )
        conditions = {} if known is None else {"known": known}
        shape = (self.image_size, self.image_size, 3)
        observed, conditions = task.check(observed, shape, **conditions)
        known = conditions["known"].numpy() if conditions else None
        with one_thread():
            restored = self._restore(task, observed.numpy(), known)
        return np.clip(restored, 0, 1).astype(np.float32)

    def settings(self):
        """The weights and other arguments, as a dict of what prints as JSON would."""
        hidden = {*self.learned, *(name for name in vars(self) if name.startswith("_"))}
        return {name: value for name, value in vars(self).items() if name not in hidden}

    def _label(self, training):
        names = ("image_size", *self.learned_with)
        return json.dumps([training, {name: getattr(self, name) for name in names}])

    def save(self, path, training):
        """Writes what was learned as one .npz, atomically, and what from: a string."""
        arrays = {name: getattr(self, name) for name in self.learned}
        with atomic_path(path) as partial, open(partial, "wb") as file:
            np.savez(file, **arrays, label=self._label(training))

    def load(self, path, training):
        """Reads what `save` wrote; returns whether it was there, whole, learned the same way."""
        try:
            with np.load(path) as stored:
                if str(stored["label"]) != self._label(training):
                    return False
                arrays = {name: stored[name] for name in self.learned}
        except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
            return False
        for name, array in arrays.items():
            setattr(self, name, array)
        return True

    def _fit(self, images):
        """Sets the attributes named in `learned`."""


def _require_extra():
    missing = [name for name in ("skimage", "sklearn") if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"Expected scikit-image and scikit-learn for the baselines. Received: no module "
            f"{' and '.join(missing)}; pip install 'tfgpr[evaluation]'."
        )


def one_thread():
    """Small matrices: BLAS is up to thirty times slower if its threads share busy cores."""
    import threadpoolctl

    return threadpoolctl.threadpool_limits(1, user_api="blas")


def as_float(images):
    """Training images as float32 in [0, 1]."""
    return images.astype(np.float32) / 255 if images.dtype == np.uint8 else np.float32(images)
