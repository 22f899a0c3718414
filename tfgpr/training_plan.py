"""What is trained on and for how long: by the number of images, where nobody says."""

import dataclasses
import functools
from typing import Any

import numpy as np

from tfgpr import data
from tfgpr.errors import InputError

FEW = 1000  # images below which a GAN of this kind is unlikely to generalise
_HELD_OUT = 64  # images kept to judge with
_STEPS = ((1000, 5_000), (10_000, 20_000), (float("inf"), 40_000))  # by images: rules of thumb


@dataclasses.dataclass(frozen=True)
class Plan:
    """How one run goes through its images.

    Attributes:
      images: how many it trains on.
      steps_per_epoch, epochs: the latter by the number of images, where not asked for.
      picture_every: steps between two sample grids: an epoch, or a hundred where it is short.
      cutout: whether D's images lose a square: wanted below 2,000 images.
    """

    images: int
    steps_per_epoch: int
    epochs: int
    picture_every: int
    cutout: bool

    @classmethod
    def of(cls, images, batch_size, epochs=None):
        """The plan for so many images; `epochs` as asked for, or None.

        Raises:
          InputError: not one batch of images.
        """
        if images < batch_size:
            raise InputError(
                f"Expected at least one batch of {batch_size} images. Received: {images}; give "
                "more images or a smaller --batch_size."
            )
        steps = max(1, images // batch_size)
        wanted = next(total for limit, total in _STEPS if images < limit)
        epochs = epochs or -(-wanted // steps)
        return cls(images, steps, epochs, max(100, steps), images < 2 * FEW)

    def describe(self, judged=True):
        """Lines for the user, before anything starts; `judged`: whether there is a judge."""
        total = self.steps_per_epoch * self.epochs
        lines = [
            f"{self.images:,} images, {self.epochs:,} epochs of {self.steps_per_epoch:,} steps: "
            f"{total:,} steps in all."
        ]
        if self.images < FEW:
            lines.append(
                f"warning: fewer than {FEW:,} images. D will soon know them by heart, and the "
                "prior will draw little else. Add images if you can; look at inversion_psnr."
            )
        if not judged:
            lines.append("No judge: the newest prior is kept, not the best.")
        return lines


@dataclasses.dataclass(frozen=True)
class TrainingImages:
    """The images of a run, and those that are kept out of it.

    Attributes:
      dataset: a `tf.data.Dataset` of uint8 images `[size, size, 3]`.
      count: how many images that are.
      held_out: uint8 `[count, size, size, 3]` that are not trained on; it may be empty.
      sample: as many training images.
    """

    dataset: Any
    count: int
    held_out: np.ndarray
    sample: np.ndarray

    @classmethod
    def of_folder(cls, path, image_size, crop, num_images=None, num_held_out=None):
        """The first `num_images` files of a folder; those behind them are held out.

        Args:
          path: the folder.
          image_size, crop: see `tfgpr.data.FolderImages`.
          num_images: None: all.
          num_held_out: None: by the number of images. Where no files lie behind, the last
            ones are not trained on.
        Raises:
          InputError: no images, or none to train on.
        """
        if not path:
            raise InputError("Expected --data_dir: a folder of images. Received: none.")
        folder = functools.partial(data.FolderImages, path, image_size, crop)
        there = len(folder().files)
        count = min(num_images or there, there)
        wanted = _held_out(count) if num_held_out is None else num_held_out
        count = min(count, there - wanted)
        if count < 1:
            raise InputError(
                f"Expected images to train on beside {wanted} held out (--num_held_out). "
                f"Received: {there}."
            )
        training = folder(count=count).dataset(mixed=True)
        if not wanted:
            empty = np.zeros([0, image_size, image_size, 3], np.uint8)
            return cls(training, count, empty, empty)
        held_out, sample = folder(first=count, count=wanted).load(), folder(count=wanted).load()
        alike = min(len(held_out), len(sample))  # some may have been unreadable
        return cls(training, count, held_out[:alike], sample[:alike])

    @classmethod
    def of_celeb_a(cls, path, image_size, crop, num_images=None, num_held_out=None):
        """TFDS's celeb_a, kept in folder `path`; images of its validation split are held out.

        Arguments and errors: `of_folder`, `tfgpr.data.celeb_a`.
        """
        read = functools.partial(data.celeb_a, image_size, crop, tfds_dir=path)
        training, validation = read(split="train"), read(split="validation")
        training = training.take(num_images) if num_images else training
        count = int(training.cardinality())
        wanted = _held_out(count) if num_held_out is None else num_held_out
        sets = []
        for images in (validation, training):
            found = list(images.take(wanted).as_numpy_iterator())
            sets.append(np.reshape(np.uint8(found), [-1, image_size, image_size, 3]))
        return cls(training, count, *sets)


def _held_out(count):
    """How many of so many images to hold out; 0 where there are too few to judge by."""
    return min(_HELD_OUT, count // 20) if count >= 80 else 0
