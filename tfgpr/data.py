"""tf.data pipelines of training images: a folder of files, or TFDS `celeb_a`."""

import functools
import logging

import numpy as np
import tensorflow as tf

from tfgpr.errors import InputError
from tfgpr.images import FACE_CROP, crop_and_resize, list_files, read_image

_CACHE_LIMIT = 2 * 2**30  # bytes of decoded images that are kept in memory
_SHUFFLE_LIMIT = 2**27  # bytes of decoded images among which the next one is drawn

CELEB_A_HELP = (
    "TFDS could not prepare celeb_a: {error}. Google Drive limits how often it may be "
    "downloaded. Download img_align_celeba.zip, list_eval_partition.txt, "
    "list_landmarks_align_celeba.txt, list_attr_celeba.txt and identity_CelebA.txt from the "
    "CelebA site, put them into {manual_dir}, and try again; or unpack the zip and pass the "
    "folder: --dataset=folder --data_dir=.../img_align_celeba."
)


class FolderImages:
    """The images of a folder, cropped and resized.

    Args:
      path: the folder (or one file). Its image files in sorted order are the data.
      image_size: side of the result in pixels.
      crop: side of the central square relative to the image's width, or None for images
        that have `image_size` already.
      first, count: the part of the sorted files to use; `count=None` means to the end.

    Attributes:
      files: the files, as paths.
      unreadable: `{file: reason}` of the files that were skipped so far.
    Raises:
      InputError: no image file is there, or fewer files than `first`.
    """

    def __init__(self, path, image_size=64, crop=FACE_CROP, first=0, count=None):
        files = list_files(path)
        self.files = files[first : None if count is None else first + count]
        if not self.files:
            raise InputError(
                f"Expected image files from index {first} on in {path}. Received: a folder "
                f"with {len(files)} of them."
            )
        self.image_size = image_size
        self.crop = crop
        self.unreadable = {}

    def read(self, index):
        """Image `index` as uint8 `[size, size, 3]`; of size 0 where it is unreadable."""
        file = self.files[index]
        try:
            return crop_and_resize(read_image(file), self.image_size, self.crop)
        except InputError as error:
            if file not in self.unreadable:
                self.unreadable[file] = str(error)
                logging.warning("Skipped (%d so far): %s", len(self.unreadable), error)
            return np.zeros([0, 0, 3], np.uint8)

    def load(self):
        """All readable images in memory: uint8 `[count, size, size, 3]`.

        Raises:
          InputError: not one file is readable.
        """
        images = [image for image in map(self.read, range(len(self.files))) if image.size]
        if not images:
            raise InputError(f"Expected readable images. Received: {len(self.files)} bad files.")
        return np.stack(images)

    def dataset(self, mixed=False):
        """A `tf.data.Dataset` of readable images, uint8 `[size, size, 3]`.

        Args:
          mixed: in one random order rather than the sorted one, which may be by kind: more
            images than a shuffle buffer holds are well mixed then.
        """
        size = self.image_size
        order = np.arange(len(self.files))
        if mixed:
            np.random.default_rng(0).shuffle(order)

        def read(index):
            image = tf.numpy_function(self.read, [index], tf.uint8, stateful=False)
            return tf.ensure_shape(image, [None, None, 3])

        dataset = tf.data.Dataset.from_tensor_slices(order)
        dataset = dataset.map(read, num_parallel_calls=tf.data.AUTOTUNE)
        dataset = dataset.filter(lambda image: tf.shape(image)[0] == size)
        return dataset.map(lambda image: tf.ensure_shape(image, [size, size, 3]))


def celeb_a(image_size=64, crop=FACE_CROP, split="train", tfds_dir=None):
    """CelebA by TensorFlow Datasets: uint8 `[size, size, 3]` in file order.

    Args:
      image_size, crop: as in `FolderImages`.
      split: a TFDS split.
      tfds_dir: where TFDS keeps its data; None is TFDS's default.
    Returns:
      A `tf.data.Dataset` of known cardinality.
    Raises:
      InputError: it could not be downloaded or prepared; the message names the way round.
        TensorFlow Datasets is absent.
    """
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise InputError(
            "Expected TensorFlow Datasets to read CelebA with. Received: no such package "
            f"({error}); pip install 'tfgpr[datasets]', or give a folder of images."
        ) from error

    builder = tfds.builder("celeb_a", data_dir=tfds_dir)
    try:
        builder.download_and_prepare()
        dataset = builder.as_dataset(split=split, shuffle_files=False)
    except Exception as error:  # TFDS passes on whatever its downloader raised
        manual_dir = f"{builder._data_dir_root}/downloads/manual"
        raise InputError(CELEB_A_HELP.format(error=error, manual_dir=manual_dir)) from error

    def prepare(example):
        resize = functools.partial(crop_and_resize, size=image_size, crop=crop)
        image = tf.numpy_function(resize, [example["image"]], tf.uint8, stateful=False)
        return tf.ensure_shape(image, [image_size, image_size, 3])

    return dataset.map(prepare, num_parallel_calls=tf.data.AUTOTUNE)


def training_batches(dataset, count, batch_size=64, flip=True, seed=0):
    """Endless shuffled batches for `GAN.fit`.

    Args:
      dataset: of uint8 images `[size, size, 3]`.
      count: about how many images it has; decides the shuffle buffer (up to 128 MiB) and
        whether decoded images are kept in memory (up to 2 GiB; more are decoded again in
        each pass).
      batch_size: images in a batch.
      flip: mirror each image left to right with probability one half.
      seed: of the order and the flips.
    Returns:
      A `tf.data.Dataset` of float32 `[batch_size, size, size, 3]` in [0, 1].
    """
    size = dataset.element_spec.shape[0]
    if count * size * size * 3 <= _CACHE_LIMIT:
        dataset = dataset.cache()
    buffer = max(batch_size, _SHUFFLE_LIMIT // (size * size * 3))

    def finish(images):
        images = tf.cast(images, tf.float32) / 255.0
        if not flip:
            return images
        chosen = tf.random.uniform([batch_size, 1, 1, 1], seed=seed) < 0.5
        return tf.where(chosen, tf.reverse(images, axis=[2]), images)

    dataset = dataset.shuffle(min(count, buffer), seed=seed).repeat()
    dataset = dataset.batch(batch_size, drop_remainder=True)
    return dataset.map(finish, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
