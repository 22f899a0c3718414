"""What nu and the encoder learn from: training images, observed at random, beside their G(z*)."""

import dataclasses
import hashlib
import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf

from tfgpr import precision, residual, tasks
from tfgpr.errors import InputError
from tfgpr.files import atomic_path
from tfgpr.images import as_images
from tfgpr.operators import Downsample, Luma
from tfgpr.restoration import Restorer

CHUNK = 250  # images in a file of latents
_KINDS = ("inpainting", "colorization", "super_resolution")  # what a search can see of an image
SLICE = 16  # images of each task in a batch
_QUANTIZATION_STEPS = (2, 3, 4, 4, 4, 4, 5, 6, 8, 12, 16)
NAMES = ("inpainting", "colorization", "super_resolution", "denoising", "dequantization")


def random_mask(index, image_size):
    """The mask `known` that training image `index` is searched with, `[size, size, 1]`.

    Half are the central square; the rest rectangles anywhere, and scattered pixels.
    """
    draw = np.random.default_rng([7, index])
    known = np.ones([image_size, image_size, 1], np.float32)
    kind = draw.integers(4)
    if kind < 2:
        return tasks.center_hole(image_size)[0]
    if kind == 2:
        height, width = draw.integers(image_size // 8, image_size * 5 // 8 + 1, 2)
        top = draw.integers(0, image_size - height + 1)
        left = draw.integers(0, image_size - width + 1)
        known[top : top + height, left : left + width] = 0
        return known
    return (draw.random(known.shape) > draw.uniform(0.2, 0.9)).astype(np.float32)


def search_latents(prior, images, folder, first=0, every=1):
    """z* of every image, as each kind of task would find it.

    Args:
      prior: a `GanPrior`.
      images: uint8 `[count, size, size, 3]`.
      folder: keeps a file for each 250 images; what is there, of the same prior and images, is
        not searched again.
      first: index of the first image, for its mask and the names of the files.
      every: search only every so many stretches of 250 images.
    Returns:
      dict from kind of task to `(indices, latents)`: all searched images for inpainting, half
      of them for colorization and half for super-resolution.
    Raises:
      InputError: the folder was begun with another prior or other images.
    """
    folder = pathlib.Path(folder)
    restorers = {}
    for name in _KINDS:
        task = tasks.TASKS[name]()
        search = dataclasses.replace(task.default, weight=0.0, residual=False)
        restorers[name] = Restorer(prior, task, search)
    starts = range(0, len(images), CHUNK * every)
    bar = keras.utils.Progbar(len(starts), unit_name="file", verbose=2 - sys.stdout.isatty())
    found = {name: ([], []) for name in _KINDS}
    searched = [prior.generator, *([prior.encoder.network] if prior.encoder else [])]
    # As a prior's folder keeps them: a run that goes on reads them from there.
    weights = [precision.half(w) for network in searched for w in network.get_weights()]
    for done, start in enumerate(starts):
        file = folder / f"{first + start:05d}.npz"
        part = images[start : start + CHUNK]
        sha256 = _sha256([*weights, part])
        if not file.is_file():
            latents = _search(restorers, as_images(part), first + start)
            with atomic_path(file) as partial:
                np.savez(partial, of=sha256, **latents)
        with np.load(file) as arrays:
            stored = dict(arrays)
        if str(stored.get("of")) != sha256:
            raise InputError(
                f"Expected the latents of these images and this prior in {folder}. Received: "
                "others; choose a new folder (--work_dir), or delete this one."
            )
        for name, offset in zip(_KINDS, (0, 0, len(stored["colorization"]))):
            count = len(stored[name])
            found[name][0].append(np.arange(start + offset, start + offset + count))
            found[name][1].append(stored[name])
        bar.update(done + 1)
    return {name: tuple(map(np.concatenate, pair)) for name, pair in found.items()}


def _sha256(arrays):
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


def _search(restorers, clean, first):
    half = len(clean) // 2
    known = np.stack([random_mask(first + i, clean.shape[1]) for i in range(len(clean))])
    latents = {
        "inpainting": [
            restorers["inpainting"].restore(clean[part] * known[part], known=known[part]).latent
            for part in (slice(half), slice(half, None))
            if len(clean[part])
        ]
    }
    for name, part in (("colorization", slice(half)), ("super_resolution", slice(half, None))):
        latents[name] = []
        if len(clean[part]):
            observed = restorers[name].task.corruption(clean[part]).numpy()
            latents[name].append(restorers[name].restore(observed).latent)
    empty = np.zeros([0, restorers["inpainting"].prior.latent.dim], np.float32)
    return {name: np.concatenate([empty, *parts]) for name, parts in latents.items()}


class Examples:
    """Batches of (evidence, uncertainty, G(z*)) and x, 16 images of each of the five tasks.

    Args:
      prior: a `GanPrior`.
      images: uint8 `[count, size, size, 3]`.
      latents: of `search_latents` for these images; None: all stand beside a gray image.
      first: as there.
    """

    def __init__(self, prior, images, latents=None, first=0):
        size = prior.image_size
        masks = [random_mask(first + index, size) for index in range(len(images))]
        self.images = tf.constant(images)
        self.known = tf.constant(np.stack(masks).astype(np.uint8))
        self.drawn = {}
        for name, (indices, z) in (latents or {}).items():
            rows = [prior.generate(z[start : start + CHUNK]) for start in range(0, len(z), CHUNK)]
            drawn = tf.cast(tf.round(tf.concat(rows, axis=0) * 255.0), tf.uint8)
            self.drawn[name] = (tf.constant(indices, tf.int32), drawn)
        # An image without a search stands beside the mean drawing.
        mean = tf.fill([1, size, size, 3], tf.constant(128, tf.uint8))
        if latents:
            drawn = tf.cast(self.drawn["super_resolution"][1], tf.float32)
            mean = tf.cast(tf.round(tf.reduce_mean(drawn, axis=0, keepdims=True)), tf.uint8)
        self.drawn["mean"] = (tf.range(len(images)), mean)
        factors = (2, 4)
        self.low = {each: residual.LowFrequencies(Downsample(each), each) for each in factors}

    def batch(self, index):
        """`((evidence, uncertainty, generated), x - evidence)`, others for each index."""
        keys = tf.random.stateless_uniform(
            [len(NAMES), 2], [17, index], maxval=tf.int32.max, dtype=tf.int32
        )
        parts = []
        for key, kinds, observe in (
            (keys[0], ("inpainting",) * 3 + ("mean",), self._holes),
            (keys[1], ("colorization",) * 3 + ("mean",), self._luma),
            (keys[2], ("super_resolution", "mean"), self._small),
            (keys[3], ("super_resolution", "mean"), self._noisy),
            (keys[4], ("super_resolution", "mean"), self._coarse),
        ):
            kinds = kinds if len(self.drawn) > 1 else ("mean",)
            count = SLICE // len(kinds)
            picked = [self._pick(kind, count, key + 10 * n) for n, kind in enumerate(kinds)]
            x, generated, known = (tf.concat(part, axis=0) for part in zip(*picked))
            parts.append((*observe(x, generated, known, key + 2), generated, x))
        images, uncertainty, generated, x = (tf.concat(part, axis=0) for part in zip(*parts))
        found = residual.Evidence(images, uncertainty)
        return residual.network_inputs(found, generated), x - images

    def _pick(self, kind, count, key):
        """x, G(z*) and the mask of some images, some of them mirrored, in [0, 1]."""
        indices, drawn = self.drawn[kind]
        rows = tf.random.stateless_uniform([count], key, maxval=len(indices), dtype=tf.int32)
        chosen = tf.gather(indices, rows)
        mirrored = tf.random.stateless_uniform([count, 1, 1, 1], key + 3) < 0.5

        def ready(pixels, scale):
            pixels = tf.cast(pixels, tf.float32) / scale
            return tf.where(mirrored, tf.reverse(pixels, axis=[2]), pixels)

        x = ready(tf.gather(self.images, chosen), 255.0)
        generated = ready(tf.gather(drawn, rows % len(drawn)), 255.0)
        return x, generated, ready(tf.gather(self.known, chosen), 1.0)

    def _holes(self, x, generated, known, key):
        del key
        return residual.known_pixels(generated, x, known)

    def _luma(self, x, generated, known, key):
        del known, key
        return residual.known_luma(generated, Luma()(x))

    def _small(self, x, generated, known, key):
        del known, key
        by_two = tf.reshape(tf.range(SLICE) % 4 == 0, [-1, 1, 1, 1])
        two, four = (self.low[each](generated, self.low[each].operator(x)) for each in (2, 4))
        return residual.Evidence(*(tf.where(by_two, a, b) for a, b in zip(two, four)))

    def _noisy(self, x, generated, known, key):
        del generated, known
        stddev = tf.random.stateless_uniform([SLICE, 1, 1, 1], key, 0.03, 0.2)
        noise = stddev * tf.random.stateless_normal(tf.shape(x), key + 1)
        return residual.evidence(x + noise, stddev, stddev)

    def _coarse(self, x, generated, known, key):
        del generated, known
        choice = tf.random.stateless_uniform(
            [SLICE, 1, 1, 1], key, maxval=len(_QUANTIZATION_STEPS), dtype=tf.int32
        )
        steps = tf.gather(tf.constant(_QUANTIZATION_STEPS, tf.float32), choice)
        stddev = residual.quantization_stddev(steps)
        return residual.evidence(tf.round(x * steps) / steps, stddev, stddev)
