"""Judges a prior: how well it draws unseen images, how real and varied its samples are.

python scripts/judge_prior.py --data_dir=img_align_celeba --output=judged
"""

import pathlib

from absl import flags

from tfgpr import commands, health, judge_report, judge_run, precision
from tfgpr.prior import SHIPPED

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
    found = judge_run.judge_files(
        FLAGS.data_dir,
        FLAGS.output,
        FLAGS.model_dir,
        FLAGS.first,
        FLAGS.num_images,
        FLAGS.num_inversions,
        FLAGS.num_train,
        FLAGS.dtype,
        FLAGS.record,
        FLAGS.overwrite,
    )
    if FLAGS.record:
        print(f"recorded in {pathlib.Path(FLAGS.model_dir or SHIPPED) / 'model.json'}")
    for title, value, floor, _ in judge_report.rows(found.numbers)[1:]:
        print(f"{title}: {value}" + (f" (real images: {floor})" if floor != "-" else ""))
    for line in (*health.complaints(found.health()), *found.notes):
        print(line)
    print(f"the report: {pathlib.Path(FLAGS.output) / 'report.html'}")


if __name__ == "__main__":
    commands.run(main)
