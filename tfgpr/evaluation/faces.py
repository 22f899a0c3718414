"""The images of an evaluation: those that are restored, and those to learn from."""

import dataclasses
import hashlib

import numpy as np

from tfgpr.data import FolderImages
from tfgpr.errors import InputError
from tfgpr.images import list_files


@dataclasses.dataclass
class Faces:
    """The images of one evaluation, and those that methods may learn from.

    Attributes:
      images: uint8 `[count, size, size, 3]`.
      first: index of the first one's file.
      training: a `FolderImages`, or None.
      image_size, crop: how they were read.
    """

    images: np.ndarray
    first: int
    training: FolderImages | None
    image_size: int
    crop: float | None

    @classmethod
    def load(cls, data_dir, first, count, image_size, crop, train_dir=None, num_train=8000):
        """Reads the test images; the training ones are only listed.

        Raises:
          InputError: fewer images than asked, or an unreadable one.
        """
        files = list_files(data_dir)
        if first + count > len(files):
            raise InputError(
                f"Expected {count} images from index {first} on (--num_images, --first). "
                f"Received: {len(files)} files in {data_dir}; ask for fewer."
            )
        folder = FolderImages(data_dir, image_size, crop, first, count)
        images = [folder.read(index) for index in range(count)]
        if folder.unreadable:
            raise InputError(f"{next(iter(folder.unreadable.values()))} Or choose other images.")
        training = None
        if train_dir is not None:
            training = FolderImages(train_dir, image_size, crop, 0, num_train)
            tested = {file.resolve() for file in folder.files}
            if any(file.resolve() in tested for file in training.files):
                raise InputError(
                    f"Expected training images that are not tested. Received: {train_dir}, whose "
                    "first files are among the test images; change --num_train or --first."
                )
        elif first:
            count = min(first, num_train)
            training = FolderImages(data_dir, image_size, crop, first - count, count)
        return cls(np.stack(images), first, training, image_size, crop)

    def settings(self):
        """What tells these images from others, as JSON values."""
        return {
            "first": self.first,
            "num_images": len(self.images),
            "image_size": self.image_size,
            "crop": self.crop,
            "images_sha256": hashlib.sha256(self.images.tobytes()).hexdigest(),
        }

    def training_fingerprint(self):
        """SHA-256 of names and sizes of the training files; None without any."""
        if self.training is None:
            return None
        names = [f"{file.name} {file.stat().st_size}" for file in self.training.files]
        text = "\n".join([*names, f"{self.image_size} {self.crop}"])
        return hashlib.sha256(text.encode()).hexdigest()

    def require_training(self):
        """Raises InputError where there are no training images."""
        if self.training is None:
            raise InputError(
                "Expected training images: some baselines learn from the files before --first. "
                "Received: --first=0 and no --train_dir; give one of them, or other --methods."
            )

    def load_training(self):
        """The training images, uint8 `[count, size, size, 3]`."""
        return self.training.load()

    def reference(self):
        """As many other real images as there are test images, in [0, 1]; or None."""
        count = len(self.images)
        if count < 2 or self.training is None or len(self.training.files) < count:
            return None
        last = range(len(self.training.files) - count, len(self.training.files))
        images = [self.training.read(index) for index in last]
        return np.stack(images).astype(np.float32) / 255 if all(i.size for i in images) else None
