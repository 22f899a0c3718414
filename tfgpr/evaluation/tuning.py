"""Which weights suit the baselines best: every one of a grid is tried on training faces."""

import itertools
import pathlib

import numpy as np

from tfgpr import metrics
from tfgpr.baselines import BASELINES
from tfgpr.errors import InputError
from tfgpr.evaluation.faces import Faces
from tfgpr.evaluation.methods import Learner
from tfgpr.images import FACE_CROP
from tfgpr.tasks import TASKS

# pca inpainting below .01, sparse inpainting and both dequantizations of sparse and low_rank
# were not run on 500.
GRIDS = {
    "tv": {
        "denoising": {"weights": (8.0, 9.0, 10.0)},
        "dequantization": {"weights": (4.0, 5.0, 6.0)},
    },
    "low_rank": {
        "inpainting": {"thresholds": (0.5, 1.0, 2.0), "kept": (0, 1, 2)},
        "denoising": {"thresholds": (0.7, 0.8, 0.9, 1.0, 1.1), "kept": (2, 3, 4)},
        "dequantization": {"thresholds": (0.02, 0.03, 0.05), "kept": (1, 2, 3)},
    },
    "sparse": {
        "inpainting": {"combined": (32, 48, 64)},
        "super_resolution": {"tolerances": (0.06, 0.08, 0.1, 0.13), "turns": (2, 4, 6, 8)},
        "denoising": {"tolerances": (0.095, 0.1, 0.105, 0.11)},
        "dequantization": {"tolerances": (0.06, 0.07, 0.08), "turns": (1, 2, 3)},
    },
    "pca": {
        "inpainting": {"used": (800, 1500), "noise": (0.005, 0.0075, 0.01, 0.015, 0.02)},
        "colorization": {"used": (400, 800, 1500), "noise": (0.03, 0.05, 0.08, 0.12, 0.2)},
        "super_resolution": {"used": (800, 1500), "noise": (1e-4, 2e-4, 3e-4, 5e-4, 1e-3)},
        "denoising": {"used": (800, 1500), "noise": (0.009, 0.01, 0.011, 0.012)},
        "dequantization": {"used": (800, 1500), "noise": (0.014, 0.02, 0.03, 0.04, 0.06)},
    },
}
_SIZE = 64  # side of the images in pixels
_CHUNK = 100  # images restored at once


def tune(data_dir, methods=None, tasks=None, first=7500, num_images=100, cache=None):
    """Tries the weights of `GRIDS`, and prints the three with the highest mean PSNR.

    Args:
      data_dir: folder of images; baselines learn from the files before `first`.
      methods, tasks: names in the grids; None: all.
      first, num_images: the part of the sorted files that the weights are tried on.
      cache: folder where to keep what the baselines learn, or None.
    Returns:
      `{method: {task: [(psnr, ssim, {weight: value}), ...]}}`, all that was tried, best first.
    Raises:
      InputError: an unknown method or task; too few images, or none to learn from.
    """
    for name in methods or ():
        if name not in GRIDS:
            raise InputError(f"Expected methods in {', '.join(GRIDS)}. Received: {name!r}.")
    for name in tasks or ():
        if name not in TASKS:
            raise InputError(f"Expected tasks in {', '.join(TASKS)}. Received: {name!r}.")
    if first < 1 and any(BASELINES[method].learned for method in methods or GRIDS):
        raise InputError(
            "Expected files to learn from, before --first. Received: "
            f"--first={first}; choose a later one, or --methods=tv,low_rank."
        )
    faces = Faces.load(data_dir, first, num_images, _SIZE, FACE_CROP)
    cache = cache and pathlib.Path(cache)
    learner = Learner(cache, _SIZE, faces.load_training, faces.training_fingerprint())
    clean = faces.images.astype(np.float32) / 255
    return {
        method: {
            name: _tune(learner(method), TASKS[name](), grid, clean, first)
            for name, grid in GRIDS[method].items()
            if name in (tasks or TASKS)
        }
        for method in methods or GRIDS
    }


def _tune(baseline, task, grid, clean, first):
    """All weights of a grid, best first; prints the best three."""
    observed, conditions = task.observe(clean, first=first)
    known = conditions["known"][:1] if conditions else None
    found = []
    for values in itertools.product(*grid.values()):
        for weight, value in zip(grid, values):
            _set(baseline, weight, task.name, value)
        scores = _scores(baseline, task, observed, known, clean)
        found.append((*scores, dict(zip(grid, values))))
    found.sort(key=lambda each: -each[0])
    for psnr, ssim, weights in found[:3]:
        print(f"{baseline.name:10s} {task.name:17s} {psnr:.3f} dB {ssim:.4f} {weights}", flush=True)
    edges = [w for w, v in found[0][2].items() if v in (grid[w][0], grid[w][-1])]
    if edges:
        print(f"  the best is at the edge of its grid: {', '.join(edges)}", flush=True)
    return found


def _set(baseline, weight, task_name, value):
    """Sets a weight, which may be one for all tasks."""
    if isinstance(getattr(baseline, weight), dict):
        getattr(baseline, weight)[task_name] = value
    else:
        setattr(baseline, weight, value)


def _scores(baseline, task, observed, known, clean):
    """Mean PSNR and SSIM of a baseline as it is set now."""
    psnr, ssim = [], []
    for at in range(0, len(clean), _CHUNK):
        part = np.s_[at : at + _CHUNK]
        images = baseline.restore(task, observed[part], known)
        psnr.append(metrics.psnr(images, clean[part]).numpy())
        ssim.append(metrics.ssim(images, clean[part]).numpy())
    return float(np.concatenate(psnr).mean()), float(np.concatenate(ssim).mean())
