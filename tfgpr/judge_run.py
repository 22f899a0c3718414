"""A prior is judged by a folder of images: those that it was trained on, and others after them."""

import pathlib

from tfgpr import data, files, health, images, judge, judge_report
from tfgpr.errors import InputError
from tfgpr.prior import SHIPPED, GanPrior


def judge_files(
    data_dir,
    output,
    model_dir=None,
    first=None,
    num_images=500,
    num_inversions=64,
    num_train=8000,
    dtype="auto",
    record=False,
    overwrite=False,
):
    """Judges a prior and writes the report.

    Args:
      data_dir: folder of images; in sorted order those that the prior was trained on come first.
      output: new folder for `report.html`, `report.json` and the pictures.
      model_dir: folder of the prior; None: the shipped one.
      first: index of the first file to judge by; none from it on was trained on. None: the first
        that was neither trained on nor held out, by `model.json`.
      num_images: how many files from there on, at most.
      num_inversions: how many of them are inverted.
      num_train: how many of the files that were trained on, at most: the last of as many as
        `model.json` says, or of those before `first` where it does not say.
      dtype: of the networks; see `tfgpr.precision`.
      record: write what was found into the prior's `model.json`.
      overwrite: replace results in `output`.
    Returns:
      A `tfgpr.judge.Judgement`.
    Raises:
      InputError: `output` is taken; no such prior or images; a prior that does not say what it
        was trained on, and no `first`.
    """
    files.require_free(output, overwrite)
    model_dir = pathlib.Path(model_dir or SHIPPED)
    prior = GanPrior.load(model_dir, dtype)
    first, trained = _parts(prior.training, data_dir, first)
    count = min(trained, num_train)

    def part(first, count):
        return data.FolderImages(data_dir, prior.image_size, prior.crop, first, count)

    held_out, training = part(first, num_images), part(trained - count, count)
    found = judge.judge(prior, held_out.load(), training.load(), num_inversions)
    about = {
        "prior": model_dir.name,
        "steps": prior.training.get("steps"),
        "first": first,
        "num_images": len(held_out.files),
    }
    with files.atomic_folder(output, overwrite) as folder:
        judge_report.write(folder, found, about)
    if record:
        health.record(model_dir, found.health())
    return found


def _parts(training, data_dir, first):
    """Index of the first file to judge by, and how many files were trained on."""
    trained = training.get("images")
    if not first and not trained:
        raise InputError(
            "Expected to know which files were trained on. Received: a prior that does not say; "
            "give --first, the index of the first file that was not."
        )
    if not first:
        # Those that chose the best prior in training are passed over, if there are others.
        chosen = trained + training.get("held_out", 0)
        first = chosen if len(images.list_files(data_dir)) >= chosen + 4 else trained
    return first, min(first, trained or first)
