"""What each part of the default restoration is worth: it is left out, or changed."""

import copy
import dataclasses

import numpy as np
import tensorflow as tf

from tfgpr import judge, metrics
from tfgpr.data import FolderImages
from tfgpr.errors import InputError
from tfgpr.files import atomic_folder, require_free, write_json
from tfgpr.images import as_images
from tfgpr.initialization import Screened
from tfgpr.restoration import Restorer
from tfgpr.tasks import TASKS

_BATCH = 64


def ablate(
    prior, data_dir, output, first=7936, num_images=64, tasks=None, variants=None, overwrite=False
):
    """Restores the same images with one thing changed at a time.

    Writes `ablation.json`, `{task: {variant: {"psnr", "ssim"}}}` (means; dB), and the same as a
    table, `ablation.md`.

    Args:
      prior: a `GanPrior`.
      data_dir: folder of images that the prior was not trained on, sorted by name.
      output: folder to write, new or empty unless `overwrite`.
      first, num_images: which of the files.
      tasks: names of the paper's tasks; None: all.
      variants: names of the rows, see `variants_of`; None: all.
      overwrite: replace the results in `output`.
    Returns:
      What ablation.json holds.
    Raises:
      InputError: an unknown task or variant; `output` is taken; too few images.
    """
    rows = {name: variants_of(TASKS[name]().default) for name in _known(tasks, TASKS, "tasks")}
    labels = _known(variants, dict.fromkeys(v for each in rows.values() for v in each), "variants")
    require_free(output, overwrite)
    folder = FolderImages(data_dir, prior.image_size, prior.crop, first, num_images)
    clean = as_images(folder.load())
    results = {name: {} for name in rows}
    for name, methods in rows.items():
        for label, method in methods.items():
            if label in labels:
                changed = PRIORS.get(label, lambda prior: prior)(prior)
                scores = results[name][label] = _measure(changed, TASKS[name](), method, clean)
                shown = f"{scores['psnr']:.2f} dB, SSIM {scores['ssim']:.4f}"
                print(f"{name}, {label}: {shown}", flush=True)
    with atomic_folder(output, overwrite) as folder:
        (folder / "ablation.md").write_text(_table(results))
        write_json(folder / "ablation.json", results)
    return results


def _known(names, known, what):
    if unknown := sorted(set(names or known) - set(known)):
        raise InputError(f"Expected {what} of {list(known)}. Received: {unknown}.")
    return names or list(known)


def variants_of(default):
    """Named changes of a task's default `Method`; those that change nothing are left out."""
    replace = dataclasses.replace
    changed = {
        "default": default,
        "without nu": replace(default, residual=False),
        "no grain": replace(default, grain=0.0),
        "lambda 0": replace(default, weight=0.0),
        "lambda 30": replace(default, weight=30.0),
        "screened start": replace(default, initialization=Screened()),
        "the start alone": default.with_iterations(1),
        "80 steps": default.with_iterations(80),
        "screened, 80 steps": replace(default.with_iterations(80), initialization=Screened()),
        "nu without G": replace(default.with_iterations(1), weight=0.0),
        "nu not learned": replace(default, grain=0.0),
    }
    same = ("default", *PRIORS)
    return {name: each for name, each in changed.items() if name in same or each != default}


def with_mean_drawing(prior, draws=2000):
    """A prior that draws the mean of its draws, whatever z is."""
    mean = judge.draw(prior, draws).mean(axis=0, keepdims=True)
    copied = copy.copy(prior)
    copied.generate = lambda z: mean + 0.0 * tf.reduce_sum(z, axis=1)[:, None, None, None]
    copied.folded = lambda: copied
    return copied


def without_learned_nu(prior):
    """A prior that has not learned nu: that of least total variation takes its place."""
    copied = copy.copy(prior)
    copied.residual = None
    return copied


PRIORS = {"nu without G": with_mean_drawing, "nu not learned": without_learned_nu}


def _measure(prior, task, method, clean):
    """Mean PSNR in dB and SSIM of clean images, degraded and restored."""
    observed, given = task.observe(clean)
    restored = Restorer(prior, task, method).restore(observed, batch_size=_BATCH, **given).images
    scores = {"psnr": metrics.psnr(restored, clean), "ssim": metrics.ssim(restored, clean)}
    return {name: float(np.mean(values)) for name, values in scores.items()}


def _table(results):
    lines = ["| | " + " | ".join(results) + " |", "|---" * (len(results) + 1) + "|"]
    for label in dict.fromkeys(label for each in results.values() for label in each):
        cells = [each.get(label) for each in results.values()]
        shown = [f"{cell['ssim']:.3f} / {cell['psnr']:.2f}" if cell else "-" for cell in cells]
        lines.append(f"| {label} | " + " | ".join(shown) + " |")
    return "\n".join(lines) + "\n"
