"""Files in, files out: what `scripts/restore.py` does with its input."""

import time

import keras
import numpy as np

from tfgpr.files import atomic_folder, write_json
from tfgpr.images import labelled_columns, write_png
from tfgpr.metrics import psnr, ssim
from tfgpr.version import __version__

_ROWS = 16  # of the comparison picture


def restore_to_folder(restorer, loaded, output, batch_size=32, overwrite=False):
    """Restores observations batch by batch into a folder, whole or not at all.

    Writes `<name>.png` for each image, `comparison.png` (the first 16: observed, G(z),
    restored, and the original where it is known) and `report.json`.

    Args:
      restorer: a `tfgpr.Restorer`.
      loaded: `tfgpr.observations.Observations`.
      output: the folder, new or empty unless `overwrite`.
      batch_size: images restored at a time.
      overwrite: replace files of the same name in `output`.
    Returns:
      What report.json holds, a dict.
    Raises:
      InputError: `output` holds files; an observation is not as the task expects.
    """
    rows, columns = [], {}
    count = len(loaded.names)
    iterations = restorer.method.iterations
    bar = keras.utils.Progbar(-(-count // batch_size) * iterations, unit_name="iteration")
    with atomic_folder(output, overwrite) as folder:
        for first in range(0, count, batch_size):
            part = slice(first, first + batch_size)
            before = first // batch_size * iterations
            began = time.monotonic()
            result = restorer.restore(
                loaded.observed[part],
                progress=lambda done, _, before=before: bar.update(before + done),
                **{name: value[part] for name, value in loaded.conditions.items()},
            )
            seconds = (time.monotonic() - began) / len(result.images)
            originals = None if loaded.originals is None else loaded.originals[part]
            for name, image in zip(loaded.names[part], result.images):
                write_png(folder / f"{name}.png", image)
            rows += _report(loaded.names[part], result, originals, seconds)
            if first == 0:
                columns = result.columns(originals, rows=_ROWS)
        picture = labelled_columns(columns, scale=4 if count <= 4 else 2)
        write_png(folder / "comparison.png", picture)
        report = {
            "tfgpr": __version__,
            "task": restorer.task.name,
            "iterations": iterations,
            "starts": restorer.method.starts,
            "seed": restorer.seed,
            "mean": _means(rows),
            "images": rows,
        }
        write_json(folder / "report.json", report)
    return report


def _report(names, result, originals, seconds):
    columns = {"loss": result.loss}
    if originals is not None:
        columns["psnr"] = psnr(result.images, originals).numpy()
        columns["ssim"] = ssim(result.images, originals).numpy()
    return [
        {
            "name": name,
            "seconds": round(seconds, 4),
            **{key: round(float(values[i]), 5) for key, values in columns.items()},
        }
        for i, name in enumerate(names)
    ]


def _means(rows):
    keys = [key for key in rows[0] if key != "name"]
    return {key: float(np.mean([row[key] for row in rows])) for key in keys}
