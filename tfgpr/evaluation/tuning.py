"""Chooses the weights of the baselines by trying a grid of them."""

import itertools
import pathlib

import numpy as np

from tfgpr import metrics
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
_SIZE = 64  # of the images, in pixels
_BATCH = 100  # images restored at once


def tune(data_dir, first=7500, num_images=100, methods=None, tasks=None, cache=None):
    """Prints the three best weights of each grid, by mean PSNR, and whether they are at its edge.

    Args:
      data_dir: folder of images, sorted by name; the baselines learn from those before `first`.
      first, num_images: the images that the weights are tried on.
      methods: names of `GRIDS`; None: all.
      tasks: names of tasks; None: all.
      cache: folder where to keep what the baselines learn; None: nothing is kept.
    Raises:
      InputError: an unknown method or task; too few images.
    """
    for names, known, what in ((methods, GRIDS, "methods"), (tasks, TASKS, "tasks")):
        for name in names or ():
            if name not in known:
                raise InputError(f"Expected {what} in {', '.join(known)}. Received: {name!r}.")
    faces = Faces.load(data_dir, first, num_images, _SIZE, FACE_CROP)
    cache = cache and pathlib.Path(cache)
    learner = Learner(cache, _SIZE, faces.load_training, faces.training_fingerprint())
    clean = faces.images.astype(np.float32) / 255
    for method in methods or GRIDS:
        for name, grid in GRIDS[method].items():
            if name in (tasks or TASKS):
                _tune(learner(method), TASKS[name](), grid, clean, first)


def _tune(baseline, task, grid, clean, first):
    observed, conditions = task.observe(clean, first=first)
    known = conditions["known"][:1] if conditions else None
    found = []
    for values in itertools.product(*grid.values()):
        for weight, value in zip(grid, values):
            _set(baseline, weight, task.name, value)
        found.append((*_scores(baseline, task, observed, known, clean), values))
    found.sort(key=lambda each: -each[0])
    for psnr, ssim, values in found[:3]:
        weights = dict(zip(grid, values))
        print(f"{baseline.name:10s} {task.name:17s} {psnr:.3f} dB {ssim:.4f} {weights}", flush=True)
    edges = [w for w, v in zip(grid, found[0][2]) if v in (grid[w][0], grid[w][-1])]
    if edges:
        print(f"  the best is at the edge of its grid: {', '.join(edges)}", flush=True)


def _set(baseline, weight, task_name, value):
    """Sets a weight, which may be one for all tasks."""
    if isinstance(getattr(baseline, weight), dict):
        getattr(baseline, weight)[task_name] = value
    else:
        setattr(baseline, weight, value)


def _scores(baseline, task, observed, known, clean):
    """Mean PSNR and SSIM of a baseline as it is set now."""
    parts = range(0, len(clean), _BATCH)
    restored = [baseline.restore(task, observed[at : at + _BATCH], known) for at in parts]
    restored = np.concatenate(restored)
    return tuple(float(np.mean(score(restored, clean))) for score in (metrics.psnr, metrics.ssim))
