"""What each part of the default restoration is worth, measured by leaving it out or changing it.

python scripts/ablate.py --data_dir=img_align_celeba --output=results/ablation
"""

import copy
import dataclasses

from absl import flags

from tfgpr import commands

FLAGS = flags.FLAGS
flags.DEFINE_string("data_dir", None, "Folder of images that no prior was trained on.")
flags.DEFINE_string("output", None, "Folder for ablation.json and ablation.md.")
flags.DEFINE_string("model_dir", None, "Folder of a prior; the shipped one if left out.")
flags.DEFINE_integer("first", 7936, "Index of the first image, from 0.", lower_bound=0)
flags.DEFINE_integer("num_images", 64, "How many images.", lower_bound=1)
flags.DEFINE_list("tasks", None, "Tasks, separated by commas; all if left out.")
flags.DEFINE_list("variants", None, "Rows, separated by commas; all if left out.")
flags.DEFINE_boolean("overwrite", False, "Replace the results in --output.")
flags.mark_flags_as_required(["data_dir", "output"])

_BATCH = 64


def variants(default):
    """Named changes of a task's default `Method`."""
    from tfgpr.initialization import Screened

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
    import tensorflow as tf

    z = prior.latent.sample(draws, (0, 0))
    parts = [prior.generate(z[at : at + _BATCH]) for at in range(0, draws, _BATCH)]
    mean = tf.reduce_mean(tf.concat(parts, axis=0), axis=0, keepdims=True)
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


def measure(prior, task, method, clean):
    """Mean PSNR in dB and SSIM of clean images, degraded and restored."""
    import numpy as np

    import tfgpr
    from tfgpr import metrics

    restorer, restored = tfgpr.Restorer(prior, task, method), []
    for first in range(0, len(clean), _BATCH):
        batch = clean[first : first + _BATCH]
        observed, given = task.observe(batch, first=first)
        restored.append(restorer.restore(observed, **given).images)
    restored = np.concatenate(restored)
    scores = {"psnr": metrics.psnr(restored, clean), "ssim": metrics.ssim(restored, clean)}
    return {name: float(np.mean(values)) for name, values in scores.items()}


def main(_):
    import tfgpr
    from tfgpr import InputError
    from tfgpr.data import FolderImages
    from tfgpr.files import atomic_folder, require_free, write_json
    from tfgpr.images import as_images

    names = FLAGS.tasks or list(tfgpr.tasks.TASKS)
    if unknown := sorted(set(names) - set(tfgpr.tasks.TASKS)):
        raise InputError(f"Expected tasks of {list(tfgpr.tasks.TASKS)}. Received: {unknown}.")
    rows = {name: variants(tfgpr.tasks.TASKS[name]().default) for name in names}
    known = dict.fromkeys(label for each in rows.values() for label in each)
    if unknown := sorted(set(FLAGS.variants or known) - set(known)):
        raise InputError(f"Expected variants of {list(known)}. Received: {unknown}.")
    require_free(FLAGS.output, FLAGS.overwrite)
    prior = tfgpr.load_prior(FLAGS.model_dir)
    folder = (FLAGS.data_dir, prior.image_size, prior.crop, FLAGS.first, FLAGS.num_images)
    clean = as_images(FolderImages(*folder).load())
    results = {}
    for name in names:
        task = tfgpr.tasks.TASKS[name]()
        for label, method in rows[name].items():
            if label not in (FLAGS.variants or rows[name]):
                continue
            changed = PRIORS.get(label, lambda prior: prior)(prior)
            scores = measure(changed, task, method, clean)
            results.setdefault(name, {})[label] = scores
            print(
                f"{name}, {label}: {scores['psnr']:.2f} dB, SSIM {scores['ssim']:.4f}", flush=True
            )
    labels = list(dict.fromkeys(label for each in results.values() for label in each))
    lines = ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for label in labels:
        cells = [results[name].get(label) for name in names]
        shown = [f"{cell['ssim']:.3f} / {cell['psnr']:.2f}" if cell else "-" for cell in cells]
        lines.append(f"| {label} | " + " | ".join(shown) + " |")
    with atomic_folder(FLAGS.output, FLAGS.overwrite) as output:
        (output / "ablation.md").write_text("\n".join(lines) + "\n")
        write_json(output / "ablation.json", results)


if __name__ == "__main__":
    commands.run(main)
