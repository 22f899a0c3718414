"""From image files to a batch of observations, for scripts and serving clients."""

import dataclasses
import pathlib
from typing import Any

import numpy as np

from tfgpr.errors import InputError
from tfgpr.images import crop_and_resize, list_files, read_image
from tfgpr.operators import Quantize
from tfgpr.tasks import center_hole

_GRID_TOLERANCE = 1.5 / 255  # a quantised value is stored in 8 bits


@dataclasses.dataclass(frozen=True)
class Observations:
    """Observations of one task.

    Attributes:
      names: of the files, without their endings.
      observed: y, `[batch, ...]` float32.
      conditions: of the task's operator, such as `{"known": [batch, height, width, 1]}`.
      originals: the clean images `[batch, size, size, 3]`, or None where nobody has them.
    """

    names: list
    observed: Any
    conditions: dict
    originals: Any = None


def load_observations(
    path, task, image_size, face_crop, known=None, corrupt=False, crop="auto", seed=0
):
    """Reads one file or a folder as observations of `task`.

    Args:
      path: an image file or a folder of them.
      task: a task of `tfgpr.tasks`.
      image_size: side of the restored images in pixels.
      face_crop: what a crop cuts; see `tfgpr.images.crop_and_resize`.
      known: for inpainting: a mask file, white where a pixel was observed, black in the
        hole, as large as the images or as the restored ones. None with `corrupt`: the
        central hole.
      corrupt: the files are clean images; degrade them here. Otherwise they *are* the
        observations (16x16 pixels for super-resolution of 64x64).
      crop: "auto": images that have the right size already are taken whole, others cropped;
        "face": always crop; "none": insist on the right size.
      seed: of the noise.
    Returns:
      `Observations`.
    Raises:
      InputError: a file that is no image, two files of one name, a wrong or missing mask, a
        wrong size, an input that is not quantised.
    """
    files = list_files(path)
    names = file_names(files)
    shape = (image_size, image_size, 3)
    measured = task.measured_shape(shape)
    size = image_size if corrupt else measured[0]
    images, masks = [], []
    mask = mask_for(task, known)
    for file in files:
        image, fitted = _fit(read_image(file), mask, size, image_size, face_crop, crop)
        images.append(image)
        masks.append(fitted)
    images = np.stack(images).astype(np.float32) / 255.0
    conditions = {}
    if "known" in task.operator.conditions:
        if mask is None and not corrupt:
            raise InputError(
                f"Expected a mask with {task.name}: --known=MASK.png, white where the image was "
                "observed, black in the hole. Received: none."
            )
        known = center_hole(image_size) if mask is None else np.stack(masks)
        known = np.broadcast_to(known, (len(images), *known.shape[1:]))
        conditions = {"known": known}
    if corrupt:
        observed = task.corruption(images, seed=seed, **conditions).numpy()
        return Observations(names, observed, conditions, originals=images)
    return Observations(names, as_measured(images, task, measured), conditions)


def observation_of(image, task, image_size, face_crop, mask=None, crop="auto"):
    """One observation from the pixels of one file, checked.

    Args:
      image: uint8 `[height, width, 3]`.
      task, image_size, face_crop, crop: as in `load_observations`.
      mask: for inpainting, what `read_mask` gave.
    Returns:
      dict of float32 NumPy arrays without a batch axis: `observed`, and the conditions of
      the task's operator.
    Raises:
      InputError: a wrong size, a missing or wrong mask, an image that is not quantised.
    """
    shape = (image_size, image_size, 3)
    measured = task.measured_shape(shape)
    pixels, known = _fit(image, mask, measured[0], image_size, face_crop, crop)
    observed = as_measured(pixels[None].astype(np.float32) / 255.0, task, measured)
    conditions = {} if known is None else {"known": known[None]}
    observed, conditions = task.check(observed, shape, **conditions)
    tensors = {"observed": observed, **conditions}
    return {name: tensor[0].numpy() for name, tensor in tensors.items()}


def read_mask(file):
    """Reads a mask: uint8 `[height, width]`, 255 where white (observed), 0 in the hole."""
    return np.where(read_image(file, mode="L") >= 128, 255, 0).astype(np.uint8)


def file_names(files):
    names = [file.stem for file in files]
    twice = {name for name in names if names.count(name) > 1}
    if twice or "comparison" in names:
        raise InputError(
            f"Expected files whose names differ before the ending, and none called comparison. "
            f"Received: {', '.join(sorted(twice)) or 'comparison'}; rename them."
        )
    return names


def _crop_for(image, size, face_crop, crop):
    if crop == "none" or (crop == "auto" and image.shape[:2] == (size, size)):
        return None
    return face_crop or 1.0  # a prior of whole images: the central square, resized


def _fit(image, mask, size, image_size, face_crop, crop):
    """The image cropped to `size`, and its mask (None without one) to `image_size`."""
    cut = _crop_for(image, size, face_crop, crop)
    known = None if mask is None else _fit_mask(mask, image, image_size, cut)
    return crop_and_resize(image, size, cut), known


def mask_for(task, known):
    if known is None:
        return None
    if "known" not in task.operator.conditions:
        raise InputError(f"Expected no mask with {task.name}. Received: {known}; leave it out.")
    if not pathlib.Path(known).is_file():
        raise InputError(f"Expected a mask file. Received: {known}, absent.")
    return read_mask(known)


def _fit_mask(mask, image, image_size, cut):
    if cut is not None and mask.shape == image.shape[:2]:
        rgb = np.repeat(mask[..., None], 3, axis=2)
        fitted = crop_and_resize(rgb, image_size, cut)[..., 0]
    elif mask.shape == (image_size, image_size):
        fitted = mask
    else:
        raise InputError(
            f"Expected a mask of {image_size}x{image_size} or {image.shape[1]}x{image.shape[0]} "
            f"pixels, like the image. Received: {mask.shape[1]}x{mask.shape[0]}."
        )
    # A pixel that is partly of the hole is unknown.
    return (fitted == 255).astype(np.float32)[..., None]


def as_measured(images, task, measured):
    if measured[-1] == 1:  # a gray image, stored as R = G = B or in color
        return task.operator(images).numpy()
    if isinstance(task.corruption.operator, Quantize):
        on_grid = task.corruption.operator(images).numpy()
        if np.abs(on_grid - images).max() > _GRID_TOLERANCE:
            steps = task.corruption.operator.steps
            raise InputError(
                f"Expected an image of {steps + 1} levels per channel, of {measured[0]}x"
                f"{measured[1]} pixels. Received: other values (resizing makes some); pass "
                "--corrupt to quantise a clean image first."
            )
        return on_grid
    return images
