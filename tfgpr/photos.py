"""Photos with faces anywhere in them: `scripts/restore.py --find_faces`.

Each face is cut as the prior was trained and restored at the prior's size; G(z) is then put
back and made consistent with y once more, at the photo's own resolution, so that what the
photo knows more finely than the prior draws is kept.
"""

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from tfgpr.errors import InputError
from tfgpr.faces import Crop, find_faces, resample
from tfgpr.images import as_images, to_uint8
from tfgpr.observations import as_measured
from tfgpr.restoration import Restoration

_FEATHER = 1 / 8  # of a crop's side: the border over which the restored face fades in


class NoFaceError(InputError):
    """No face in a photo, or none in which the task has something to restore."""


@dataclasses.dataclass
class PhotoRestoration:
    """A photo whose faces were restored.

    Attributes:
      image: uint8 `[height, width, 3]`; super-resolution enlarges the photo.
      faces: a `tfgpr.faces.Face` for each face, in pixels of `image`, the largest first.
      crops: the `tfgpr.faces.Crop` of each.
      restoration: the `Restoration` of the crops, in the same order.
      originals: the clean crops `[faces, size, size, 3]` where the photo was clean, or None.
    """

    image: np.ndarray
    faces: list
    crops: list
    restoration: Restoration
    originals: Any = None


@dataclasses.dataclass
class _Observed:
    """y at the photo's resolution."""

    measured: np.ndarray  # as the task's operator gives it, [height, width, channels]
    picture: np.ndarray  # uint8 [height, width, 3], enlarged for super-resolution
    shown: np.ndarray  # the same as float32, holes filled smoothly
    known: Any  # [height, width, 1] or None
    factor: int  # pixels of `picture` to one of `measured`


def restore_photo(
    restorer, photo, known=None, corrupt=False, seed=0, first=0, batch_size=32, progress=None
):
    """Finds the faces in a photo, restores each, and puts them back.

    Args:
      restorer: a `tfgpr.Restorer`.
      photo: y, uint8 `[height, width, 3]`.
      known: inpainting: `[height, width]`, 255 (or 1) where observed, 0 in the hole.
      corrupt: the photo is clean: find the faces, then degrade the whole photo as the task
        does (inpainting without `known`: the central half of each face's crop is the hole).
      seed, first: of the noise; see `tfgpr.corruptions.Corruption`.
      batch_size: faces restored at a time.
      progress: called as `progress(done, all)`, in iterations.
    Returns:
      A `PhotoRestoration`. Pixels outside the crops are the observed ones, bit by bit.
    Raises:
      NoFaceError: there is no face, or nothing to restore in any.
      InputError: a mask of another size or without need; the package `mtcnn` is absent; the
        prior was not trained on the face crop.
    """
    task, prior = restorer.task, restorer.prior
    clean = as_images(photo, "photo")[0]
    known = _fit(known, clean, task, corrupt)
    if corrupt:
        faces, clean = find_faces(photo), _trim(clean, task)
        crops = [Crop.of_face(face, prior.image_size, prior.crop) for face in faces]
        observed = _degrade(clean, crops, known, task, seed, first)
    else:
        observed = _given(clean, known, task)
        faces = find_faces(to_uint8(observed.shown))
        crops = [Crop.of_face(face, prior.image_size, prior.crop) for face in faces]
    kept = [i for i, crop in enumerate(crops) if _worthwhile(crop, observed)]
    if not kept:
        raise NoFaceError(_why_none(faces, observed))
    faces, crops = [faces[i] for i in kept], [crops[i] for i in kept]
    restoration = _restore_crops(restorer, crops, observed, batch_size, progress)
    image = observed.picture.copy()
    for crop, restored in zip(crops, restoration.images):
        _put_back(image, crop, restored, observed, task)
    originals = np.stack([crop.cut(clean) for crop in crops]).clip(0, 1) if corrupt else None
    return PhotoRestoration(image, faces, crops, restoration, originals)


def _fit(known, image, task, corrupt):
    """The mask as `[height, width, 1]` of 0 and 1, or None."""
    if "known" not in task.operator.conditions:
        if known is not None:
            raise InputError(f"Expected no mask with {task.name}. Received: one; leave it out.")
        return None
    if known is None:
        if corrupt:
            return None
        raise InputError(
            f"Expected a mask with {task.name}: --known=MASK.png, white where the photo was "
            "observed, black in the hole. Received: none."
        )
    known = np.asarray(known)
    if known.shape[:2] != image.shape[:2]:
        raise InputError(
            f"Expected a mask of {image.shape[1]}x{image.shape[0]} pixels, like the photo. "
            f"Received: {known.shape[1]}x{known.shape[0]}."
        )
    known = (known > known.max() / 2).astype(np.float32).reshape(*image.shape[:2], 1)
    if known.all() or not known.any():
        raise InputError(
            "Expected observed pixels (white) and a hole (black) in the mask. Received: one "
            "color only."
        )
    return known


def _factor(task):
    return getattr(task.operator, "factor", 1)


def _trim(image, task):
    """Without the last rows and columns that decimation cannot use."""
    factor = _factor(task)
    height, width = (length - length % factor for length in image.shape[:2])
    return image[:height, :width]


def _degrade(clean, crops, known, task, seed, first):
    conditions = {}
    if "known" in task.operator.conditions:
        if known is None:
            known = np.ones([*clean.shape[:2], 1], np.float32)
            for crop in crops:
                window = crop.window(clean.shape)
                known[window] *= crop.depth(window) < 0.25
        conditions = {"known": known[None]}
    measured = task.corruption(clean[None], seed=seed, first=first, **conditions)[0].numpy()
    return _observed(measured, known, task)


def _given(image, known, task):
    channels = task.measured_shape((64, 64, 3))[-1]
    measured = as_measured(image[None], task, (*image.shape[:2], channels))[0]
    return _observed(measured, known, task)


def _observed(measured, known, task):
    factor = _factor(task)
    height, width, _ = measured.shape
    shown = np.broadcast_to(measured, (height, width, 3))
    if factor > 1:
        shown = resample(shown, 0j, 1 / factor + 0j, (factor * height, factor * width))
    picture = to_uint8(shown)
    if known is not None:
        shown = fill(shown, known)
    return _Observed(measured, picture, shown, known, factor)


def fill(image, known):
    """Holes filled with means of what is known around them, at the scale of the hole.

    Args:
      image: float `[height, width, channels]`.
      known: `[height, width, 1]`, 0 in the hole. A pixel at least is known.
    """
    if known.all():
        return image
    height, width, _ = image.shape
    pad = ((0, height % 2), (0, width % 2), (0, 0))

    def sum_pairs(array):
        array = np.pad(array, pad)
        array = array[0::2] + array[1::2]
        return array[:, 0::2] + array[:, 1::2]

    count = sum_pairs(known)
    coarse = fill(sum_pairs(image * known) / np.maximum(count, 1), np.minimum(count, 1))
    return np.where(known > 0, image, coarse.repeat(2, 0).repeat(2, 1)[:height, :width])


def _worthwhile(crop, observed):
    """Whether the crop lies in the photo, has a hole, and is not finer than the prior draws."""
    window = crop.window(observed.shown.shape)
    if any(part.stop <= part.start for part in window):
        return False
    if observed.known is not None:
        seen = _known_crop(crop, observed.known)
        hole = (observed.known[window] == 0) & (crop.depth(window) > 0)
        return bool(seen.any() and not seen.all() and hole.any())
    return abs(crop.step) < observed.factor or observed.factor == 1


def _why_none(faces, observed):
    if not faces:
        return (
            "Expected a face in the photo. Received: none that the detector finds (they are "
            "upright and at least 20 pixels wide); crop the face yourself and leave out "
            "--find_faces."
        )
    if observed.known is not None:
        return (
            f"Expected a hole in a face. Received: {len(faces)} face(s), and a mask that knows "
            "all or nothing of each."
        )
    return (
        f"Expected faces smaller than the prior draws them. Received: {len(faces)} face(s), all "
        "larger; nothing is gained by enlarging them."
    )


def _known_crop(crop, known):
    """The mask of a crop: a pixel that is partly of the hole, or out of the photo, is unknown."""
    framed = np.pad(known, ((1, 1), (1, 1), (0, 0)))
    framed = dataclasses.replace(crop, origin=crop.origin + 1 + 1j).cut(framed)
    return (np.abs(framed - 1) < 0.01).astype(np.float32)


def _restore_crops(restorer, crops, observed, batch_size, progress):
    task, size = restorer.task, restorer.prior.image_size
    low, high = task.observed_range
    cuts = np.stack([crop.cut(observed.shown) for crop in crops])
    if task.measured_shape((size, size, 3)) != (size, size, 3):
        cuts = task.operator(cuts).numpy()
    conditions = {}
    if observed.known is not None:
        conditions = {"known": np.stack([_known_crop(crop, observed.known) for crop in crops])}
    return restorer.restore(cuts.clip(low, high), progress, batch_size=batch_size, **conditions)


def _around_hole(known, window):
    """The part of a window that has its hole, and a pixel more: nothing else is to be solved."""
    hole = known[window][..., 0] == 0
    parts = []
    for axis, part in enumerate(window):
        (places,) = np.nonzero(hole.any(axis=1 - axis))
        first, last = part.start + places[0] - 1, part.start + places[-1] + 2
        parts.append(slice(max(part.start, int(first)), min(part.stop, int(last))))
    return tuple(parts)


def _put_back(image, crop, restored, observed, task):
    """Writes a restored crop `[size, size, 3]` into the photo, in place."""
    factor = observed.factor
    window = crop.window(image.shape)
    if observed.known is not None:
        window = _around_hole(observed.known, window)
    window = tuple(
        slice(part.start // factor * factor, -(-part.stop // factor) * factor) for part in window
    )
    small = tuple(slice(part.start // factor, part.stop // factor) for part in window)
    conditions = {} if observed.known is None else {"known": observed.known[window][None]}
    face = crop.spread(restored, window).clip(0, 1)
    consistent = tf.function(task.consistency)  # a loop on as many pixels is slow outside of one
    face = consistent(face[None], observed.measured[small][None], **conditions)[0].numpy()
    depth = crop.depth(window)
    if observed.known is None:
        share = np.clip(depth / _FEATHER, 0, 1)
        share = share * share * (3 - 2 * share)
    else:  # seamless already where it meets what is known
        share = (depth > 0) & (observed.known[window] == 0)
    before = image[window] / np.float32(255)
    image[window] = np.where(share > 0, to_uint8(before + share * (face - before)), image[window])
