"""Judges a prior: how well it draws unseen images, how real and varied its samples are.

python scripts/judge_prior.py --data_dir=img_align_celeba --output=judged
"""

import pathlib

from absl import flags

from tfgpr import commands, data, files, health, images, judge, judge_report, precision
from tfgpr.errors import InputError
from tfgpr.prior import SHIPPED, GanPrior

FLAGS = flags.FLAGS
flags.DEFINE_string("data_dir", None, "Folder of images: those trained on, and others after them.")
flags.DEFINE_string("output", None, "New folder for report.html, report.json and the pictures.")
flags.DEFINE_string("model_dir", None, "Folder of a prior; the shipped one if left out.")
flags.DEFINE_integer(
    "first",
    None,
    "Index of the first file, in sorted order, to judge by; none from it on was trained on. Left "
    "out: the first that was neither trained on nor held out, by model.json.",
    lower_bound=1,
)
flags.DEFINE_integer("num_images", 500, "How many held-out files, at most.", lower_bound=4)
flags.DEFINE_integer("num_inversions", 64, "How many of them are inverted.", lower_bound=1)
flags.DEFINE_integer(
    "num_train",
    8000,
    "How many of the files that were trained on, at most: the last of as many as model.json "
    "says, or of those before --first where it does not say.",
    lower_bound=4,
)
flags.DEFINE_enum("dtype", "auto", precision.DTYPES, "Compute dtype.")
flags.DEFINE_boolean("record", False, "Write what was found into the prior's model.json.")
flags.DEFINE_boolean("overwrite", False, "Replace results of the same name in --output.")
flags.mark_flags_as_required(["data_dir", "output"])


def main(_):
    files.require_free(FLAGS.output, FLAGS.overwrite)
    model_dir = pathlib.Path(FLAGS.model_dir or SHIPPED)
    prior = GanPrior.load(model_dir, FLAGS.dtype)
    trained = prior.training.get("images")
    first = FLAGS.first or trained
    if trained and not FLAGS.first:
        # Those that chose the best prior in training are passed over, if there are others.
        chosen = trained + prior.training.get("held_out", 0)
        first = chosen if len(images.list_files(FLAGS.data_dir)) >= chosen + 4 else first
    if not first:
        raise InputError(
            "Expected to know which files were trained on. Received: a prior that does not say; "
            "give --first, the index of the first file that was not."
        )
    held_out = data.FolderImages(
        FLAGS.data_dir, prior.image_size, prior.crop, first, FLAGS.num_images
    )
    trained = min(first, trained or first)
    count = min(trained, FLAGS.num_train)
    training = data.FolderImages(
        FLAGS.data_dir, prior.image_size, prior.crop, trained - count, count
    )
    found = judge.judge(prior, held_out.load(), training.load(), FLAGS.num_inversions)
    about = {
        "prior": model_dir.name,
        "steps": prior.training.get("steps"),
        "first": first,
        "num_images": len(held_out.files),
    }
    with files.atomic_folder(FLAGS.output, FLAGS.overwrite) as output:
        judge_report.write(output, found, about)
    if FLAGS.record:
        health.record(model_dir, found.health())
        print(f"recorded in {model_dir / 'model.json'}")
    for title, value, floor, _ in judge_report.rows(found.numbers)[1:]:
        print(f"{title}: {value}" + (f" (real images: {floor})" if floor != "-" else ""))
    for line in (*health.complaints(found.health()), *found.notes):
        print(line)
    print(f"the report: {pathlib.Path(FLAGS.output) / 'report.html'}")


if __name__ == "__main__":
    commands.run(main)
