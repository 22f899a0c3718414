"""From what the page holds to arrays, and back; nothing here knows Gradio."""

import pathlib
import tempfile

import numpy as np
import PIL.Image

from tfgpr import tasks
from tfgpr.errors import InputError
from tfgpr.images import ASSETS, as_images, read_image, to_uint8, write_png
from tfgpr.metrics import psnr, ssim
from tfgpr.observations import load_observations

EXAMPLE = ASSETS / "astronaut.png"
_MAY_BE_RESIZED = ("inpainting", "colorization")  # an observation; noise and levels are lost
_OPAQUE = 128  # alpha from which a brush stroke counts


def known_from(layers, size):
    """The mask that was painted: uint8 `[size, size]`, 0 in the hole, 255 elsewhere.

    Args:
      layers: RGBA images of the editor, uint8 `[height, width, 4]`; opaque where painted.
      size: side of the restored images in pixels. A pixel that is partly painted is unknown.
    """
    known = np.full((size, size), 255, np.uint8)
    for layer in layers:
        painted = np.where(np.asarray(layer)[..., 3] >= _OPAQUE, 255, 0).astype(np.uint8)
        shares = PIL.Image.fromarray(painted).resize((size, size), PIL.Image.Resampling.BOX)
        known[np.asarray(shares) > 0] = 0
    return known


def view(backend, task, path, clean, crop):
    """What the page shows of an upload: `[height, width, 1 or 3]` in [0, 1], uncorrupted.

    Arguments: those of `observe`.
    """
    if clean or "known" in backend.task(task).operator.conditions:
        _require(path)
        size = backend.image_size(task)
        return load_observations(path, tasks.denoising(), size, crop, corrupt=True).originals[0]
    return observe(backend, task, path, clean, crop).observed[0]


def observe(backend, task, path, clean, crop, layers=(), seed=0):
    """The observation that the page describes, as `tfgpr.observations.Observations`.

    Args:
      backend: of `tfgpr.demo.backends`.
      task: its name.
      path: of the upload, or None.
      clean: the upload is a clean image and is degraded here; else it is an observation.
      crop: side of the central square that is cut from it, relative to its width. It is not
        cut where the size is right already.
      layers: what was painted; see `known_from`.
      seed: of the noise.
    Raises:
      InputError: no upload, or no image; nothing painted for a hole; an observation of the
        wrong size.
    """
    _require(path)
    posed, size = backend.task(task), backend.image_size(task)
    if not clean and task not in _MAY_BE_RESIZED:
        _require_size(path, posed.measured_shape((size, size, 3))[:2])
    settings = {"corrupt": clean, "seed": seed}
    if "known" not in posed.operator.conditions:
        return load_observations(path, posed, size, crop, **settings)
    known = known_from(layers, size)
    if known.all():
        raise InputError(
            "Expected a hole. Received: nothing painted; paint over what is to be filled in."
        )
    with tempfile.TemporaryDirectory() as folder:
        mask = pathlib.Path(folder) / "known.png"
        write_png(mask, known)
        return load_observations(path, posed, size, crop, known=mask, **settings)


def _require(path):
    if not path:
        raise InputError("Expected a face. Received: none; upload a picture, or take the example.")


def _require_size(path, size):
    height, width = read_image(path).shape[:2]
    if (height, width) != tuple(size):
        raise InputError(
            f"Expected an observation of {size[1]}x{size[0]} pixels. Received: {width}x{height}; "
            'choose "clean" to have the picture cropped and degraded.'
        )


def cut_of(path, size, crop):
    """In words, what is taken of an upload."""
    height, width = read_image(path).shape[:2]
    if (height, width) == (size, size):
        return f"{width}x{height} pixels, taken whole."
    side = round(min(crop * width, height))
    return f"{width}x{height} pixels; the central {side}x{side} at {size}x{size}."


def enlarge(image, side):
    """One image `[height, width, 1 or 3]`, uint8 or in [0, 1] (clipped), to uint8
    `[side, side, 3]`, bicubic."""
    image = to_uint8(as_images(image, low=-np.inf, high=np.inf)[0])
    image = np.broadcast_to(image, (*image.shape[:2], 3))
    return np.asarray(PIL.Image.fromarray(image).resize((side, side), PIL.Image.Resampling.BICUBIC))


def scores(solutions, loaded):
    """PSNR and SSIM of the first solution in words; empty where no original is known."""
    if loaded.originals is None:
        return ""
    first = solutions.images[:1]
    decibels = float(psnr(first, loaded.originals)[0])
    return f"PSNR {decibels:.1f} dB, SSIM {float(ssim(first, loaded.originals)[0]):.3f}"
