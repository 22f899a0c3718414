"""Chooses the baselines' weights on training faces, never on test faces.

python scripts/tune_baselines.py --data_dir=img_align_celeba

Baselines learn from files 000001-007500; every weight of the grids below is tried on files
007501-007500+num_images, and the three with the highest mean PSNR are printed.

The defaults in `tfgpr/baselines/` (PSNR in dB / SSIM), on 500 faces (--num_images=500):

    tv        denoising 27.96 / .843  dequantization 26.40 / .805
    low_rank  inpainting 22.24 / .752  denoising 24.79 / .696
    sparse    denoising 30.28 / .903
    pca       inpainting 28.17 / .889  colorization 27.81 / .967  super-resolution 26.50 / .825
              denoising 30.27 / .899  dequantization 28.24 / .876

and on 100: low_rank dequantization 25.18 / .766; sparse inpainting 27.40 / .866,
super-resolution 25.69 / .797, dequantization 28.11 / .868. On 500, sparse super-resolution
reaches 25.86 / .802 with tolerance .06 and 8 turns, in twice the time; tv dequantization
26.41 with weight 6.
"""

import itertools

from absl import flags

from tfgpr import commands

FLAGS = flags.FLAGS
flags.DEFINE_string("data_dir", None, "Folder of images.")
flags.DEFINE_integer("num_images", 100, "How many images each weight is tried on.", lower_bound=1)
flags.DEFINE_integer("first", 7500, "Index of the first; baselines learn from those before.")
flags.DEFINE_list("methods", None, "Of the grids; all if left out.")
flags.DEFINE_list("tasks", None, "Of the grids; all if left out.")
flags.DEFINE_string("cache", None, "Folder where to keep what the baselines learn.")
flags.mark_flags_as_required(["data_dir"])

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
CHUNK = 100  # images restored at once


def main(_):
    import pathlib

    import numpy as np

    from tfgpr import tasks
    from tfgpr.errors import InputError
    from tfgpr.evaluation.faces import Faces
    from tfgpr.evaluation.methods import Learner
    from tfgpr.images import FACE_CROP

    for name in FLAGS.methods or ():
        if name not in GRIDS:
            raise InputError(f"Expected methods in {', '.join(GRIDS)}. Received: {name!r}.")
    for name in FLAGS.tasks or ():
        if name not in tasks.TASKS:
            raise InputError(f"Expected tasks in {', '.join(tasks.TASKS)}. Received: {name!r}.")
    faces = Faces.load(FLAGS.data_dir, FLAGS.first, FLAGS.num_images, 64, FACE_CROP)
    cache = FLAGS.cache and pathlib.Path(FLAGS.cache)
    learner = Learner(cache, 64, faces.load_training, faces.training_fingerprint())
    clean = faces.images.astype(np.float32) / 255
    for method in FLAGS.methods or GRIDS:
        for name, grid in GRIDS[method].items():
            if name in (FLAGS.tasks or tasks.TASKS):
                _tune(learner(method), tasks.TASKS[name](), grid, clean)


def _tune(baseline, task, grid, clean):
    """Tries all weights of a grid; prints the best three."""
    observed, conditions = task.observe(clean, first=FLAGS.first)
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
    import numpy as np

    from tfgpr import metrics

    psnr, ssim = [], []
    for at in range(0, len(clean), CHUNK):
        part = np.s_[at : at + CHUNK]
        images = baseline.restore(task, observed[part], known)
        psnr.append(metrics.psnr(images, clean[part]).numpy())
        ssim.append(metrics.ssim(images, clean[part]).numpy())
    return float(np.concatenate(psnr).mean()), float(np.concatenate(ssim).mean())


if __name__ == "__main__":
    commands.run(main)
