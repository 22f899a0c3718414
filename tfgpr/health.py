"""Is a prior fit to restore with? What training, or `scripts/judge_prior.py --record`, measured.

The record, `training["health"]` in a prior's model.json:

    inversion_psnr    median PSNR in dB with which it draws held-out images
    inversion_steps   steps of that search
    mean_image_psnr   of the mean training image in its place: what one has without any prior
    ms_ssim           between its samples: the higher, the less varied
    ms_ssim_real      the same between held-out images
    images, samples   how many were searched for; how many were drawn
"""

import json
import logging
import pathlib

from tfgpr.errors import InputError
from tfgpr.files import write_json

GAIN = 2.0  # dB that inversion must lead the mean image by
VARIETY = 0.5  # share of the real images' dissimilarity (1 - MS-SSIM) that samples must have
NUMBERS = ("inversion_psnr", "mean_image_psnr", "ms_ssim", "ms_ssim_real")
_REMEDY = (
    "its restorations will be no better. Train longer or again (scripts/train.py), use another "
    "--model_dir, or leave it out for the shipped prior; scripts/judge_prior.py shows more."
)
_told = set()


def complaints(record):
    """What is wrong with a prior, in words with the figures; an empty list if nothing is.

    Args:
      record: see the top of this file.
    """
    drawn, mean, alike, real = (float(record[name]) for name in NUMBERS)
    found = []
    if not drawn >= mean + GAIN:  # also where it is NaN
        found.append(
            f"untrained or collapsed: it draws images that it has not seen at {drawn:.1f} dB, the "
            f"mean image alone has {mean:.1f}"
        )
    if not 1 - alike >= VARIETY * (1 - real):
        found.append(
            f"collapsed: its samples resemble each other (MS-SSIM {alike:.2f}, real images "
            f"{real:.2f})"
        )
    return found


def warn_once(path, training):
    """Says what the record of a prior that is being loaded says; once for each folder.

    Args:
      path: the prior's folder.
      training: the "training" of its model.json.
    """
    path = pathlib.Path(path).resolve()
    if path in _told:
        return
    _told.add(path)
    record = training.get("health") if isinstance(training, dict) else None
    try:
        found = complaints(record)
    except (TypeError, KeyError, ValueError):
        logging.info(
            "How good the prior in %s is has not been recorded; scripts/judge_prior.py --record "
            "measures it.",
            path,
        )
        return
    if found:
        logging.warning("The prior in %s is %s; %s", path, "; and ".join(found), _REMEDY)


def record(path, values):
    """Writes a record into a prior's model.json, whose other contents stay.

    Args:
      path: the prior's folder.
      values: see the top of this file.
    Raises:
      InputError: the folder holds no prior.
    """
    file = pathlib.Path(path) / "model.json"
    if not file.is_file():
        raise InputError(f"Expected a prior: a folder with model.json. Received: {path}.")
    description = json.loads(file.read_text())
    description["training"] = {**(description.get("training") or {}), "health": values}
    write_json(file, description)
    _told.discard(pathlib.Path(path).resolve())
