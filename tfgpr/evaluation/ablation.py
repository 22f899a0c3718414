"""What each part of the default restoration is worth: left out, or changed, one at a time."""

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
    data_dir,
    output,
    prior,
    tasks=None,
    variants=None,
    first=7936,
    num_images=64,
    overwrite=False,
):
    """Restores images by a task's default method and its variants; writes how well.

    Args:
      data_dir: folder of images that no prior was trained on.
      output: folder for ablation.json and ablation.md, written when all is measured.
      prior: a `GanPrior`.
      tasks: names of tasks; None: all.
      variants: names of rows, as in `changes`; None: all.
      first, num_images: the part of the sorted files, `first` counted from 0.
      overwrite: replace the results in `output`.
    Returns:
      `{task: {variant: {"psnr": dB, "ssim": mean SSIM}}}`, as in ablation.json.
    Raises:
      InputError: an unknown task or variant; no images; `output` holds something.
    """
    names = tasks or list(TASKS)
    if unknown := sorted(set(names) - set(TASKS)):
        raise InputError(f"Expected tasks of {list(TASKS)}. Received: {unknown}.")
    rows = {name: changes(TASKS[name]().default) for name in names}
    known = dict.fromkeys(label for each in rows.values() for label in each)
    if unknown := sorted(set(variants or known) - set(known)):
        raise InputError(f"Expected variants of {list(known)}. Received: {unknown}.")
    require_free(output, overwrite)
    clean = as_images(
        FolderImages(data_dir, prior.image_size, prior.crop, first, num_images).load()
    )
    results = {}
    for name in names:
        for label, method in rows[name].items():
            if label not in (variants or rows[name]):
                continue
            changed = PRIORS.get(label, lambda prior: prior)(prior)
            scores = _measure(changed, TASKS[name](), method, clean)
            results.setdefault(name, {})[label] = scores
            print(
                f"{name}, {label}: {scores['psnr']:.2f} dB, SSIM {scores['ssim']:.4f}", flush=True
            )
    with atomic_folder(output, overwrite) as folder:
        (folder / "ablation.md").write_text(_table(names, results))
        write_json(folder / "ablation.json", results)
    return results


def changes(default):
    """Named changes of a task's default `Method`, `{label: Method}`; those that would be the
    default again are left out."""
    changed = {
        "default": default,
        "without nu": dataclasses.replace(default, residual=False),
        "no grain": dataclasses.replace(default, grain=0.0),
        "lambda 0": dataclasses.replace(default, weight=0.0),
        "lambda 30": dataclasses.replace(default, weight=30.0),
        "screened start": dataclasses.replace(default, initialization=Screened()),
        "the start alone": default.with_iterations(1),
        "80 steps": default.with_iterations(80),
        "screened, 80 steps": dataclasses.replace(
            default.with_iterations(80), initialization=Screened()
        ),
        "nu without G": dataclasses.replace(default.with_iterations(1), weight=0.0),
        "nu not learned": dataclasses.replace(default, grain=0.0),
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
    restorer, restored = Restorer(prior, task, method), []
    for first in range(0, len(clean), _BATCH):
        observed, given = task.observe(clean[first : first + _BATCH], first=first)
        restored.append(restorer.restore(observed, **given).images)
    restored = np.concatenate(restored)
    scores = {"psnr": metrics.psnr(restored, clean), "ssim": metrics.ssim(restored, clean)}
    return {name: float(np.mean(values)) for name, values in scores.items()}


def _table(names, results):
    """Markdown: a row for each variant, a column for each task."""
    lines = ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for label in dict.fromkeys(label for each in results.values() for label in each):
        cells = [results.get(name, {}).get(label) for name in names]
        shown = [f"{cell['ssim']:.3f} / {cell['psnr']:.2f}" if cell else "-" for cell in cells]
        lines.append(f"| {label} | " + " | ".join(shown) + " |")
    return "\n".join(lines) + "\n"
