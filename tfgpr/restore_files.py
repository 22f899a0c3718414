"""Files in, files out: what `scripts/restore.py` does with its input."""

import time

import keras
import numpy as np

from tfgpr.files import atomic_folder, write_json
from tfgpr.images import labelled_columns, list_files, read_image, write_png
from tfgpr.metrics import psnr, ssim
from tfgpr.observations import file_names, mask_for
from tfgpr.photos import NoFaceError, restore_photo
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
        return _write_report(folder, restorer, rows, rows)


def restore_photos_to_folder(
    restorer, path, output, known=None, corrupt=False, seed=0, batch_size=32, overwrite=False
):
    """Restores the faces in one photo, or in each of a folder, into a folder.

    Writes `<name>.png` for each photo with a face, `comparison.png` (the first 16 faces) and
    `report.json`, which has each face's place; whole or not at all.

    Args:
      restorer: a `tfgpr.Restorer`.
      path: an image file or a folder of them.
      output: the folder, new or empty unless `overwrite`.
      known: inpainting: a mask file of the photos' size.
      corrupt, seed, batch_size: see `restore_photo`.
      overwrite: replace files of the same name in `output`.
    Returns:
      What report.json holds, a dict.
    Raises:
      InputError: as `restore_photo`; `NoFaceError` if no photo has a face to restore.
    """
    files = list_files(path)
    names = file_names(files)
    mask = mask_for(restorer.task, known)
    iterations = restorer.method.iterations
    bar = keras.utils.Progbar(len(files) * iterations, unit_name="iteration")
    photos, rows, shown, faceless = [], [], [], None
    with atomic_folder(output, overwrite) as folder:
        for index, (file, name) in enumerate(zip(files, names)):
            began = time.monotonic()

            def progress(done, total, before=index * iterations):
                bar.update(before + iterations * done // total)

            try:
                found = restore_photo(
                    restorer, read_image(file), mask, corrupt, seed, index, batch_size, progress
                )
            except NoFaceError as error:
                faceless = error
                photos.append({"name": name, "left_out": str(error), "faces": []})
                continue
            seconds = (time.monotonic() - began) / len(found.faces)
            write_png(folder / f"{name}.png", found.image)
            labels = [f"{name}/{i}" for i in range(len(found.faces))]
            scores = _report(labels, found.restoration, found.originals, seconds)
            places = [_place(*pair, found.image) for pair in zip(found.faces, found.crops)]
            photos.append(
                {"name": name, "faces": [{**place, **row} for place, row in zip(places, scores)]}
            )
            rows += scores
            if sum(len(next(iter(each.values()))) for each in shown) < _ROWS:
                shown.append(found.restoration.columns(found.originals))
        if not rows:
            raise faceless
        columns = {
            label: np.concatenate([part[label] for part in shown])[:_ROWS] for label in shown[0]
        }
        write_png(folder / "comparison.png", labelled_columns(columns, 4 if len(rows) <= 4 else 2))
        return _write_report(folder, restorer, rows, photos)


def _place(face, crop, image):
    rows, columns = crop.window(image.shape)
    return {
        "box": [columns.start, rows.start, columns.stop, rows.stop],
        "corners": [[round(p.real, 2), round(p.imag, 2)] for p in crop.corners],
        "landmarks": [[round(p.real, 2), round(p.imag, 2)] for p in face.landmarks],
        "confidence": round(face.confidence, 4),
    }


def _write_report(folder, restorer, rows, images):
    report = {
        "tfgpr": __version__,
        "task": restorer.task.name,
        "prior": {"image_size": restorer.prior.image_size, **_trained(restorer.prior)},
        "method": repr(restorer.method),
        "iterations": restorer.method.iterations,
        "starts": restorer.method.starts,
        "seed": restorer.seed,
        "mean": _means(rows),
        "images": images,
    }
    write_json(folder / "report.json", report)
    return report


def _trained(prior):
    """How long a prior was trained on what, as far as it says."""
    return {
        key: prior.training[key] for key in ("dataset", "images", "steps") if key in prior.training
    }


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
