"""Restores any number of image files with an export, through Apache Beam.

python scripts/restore_bulk.py --task=super_resolution --model=models/tfgpr \
    --input='photos/**.jpg' --output=restored

Run again, it does only what is missing. Where files failed, failed.jsonl says why, and the exit
code is 1. Beam's flags may follow, such as --direct_num_workers=4
--direct_running_mode=multi_processing, or --runner=DataflowRunner --project=... --region=...
--temp_location=gs://...
"""

import sys

from absl import flags, logging

from tfgpr import commands

FLAGS = flags.FLAGS
flags.DEFINE_string("task", None, "What was done to the images; a task of the export.")
flags.DEFINE_string("input", None, "A folder, a pattern, a .txt file of paths, or an image.")
flags.DEFINE_string("output", None, "Folder for the pictures and the report.")
flags.DEFINE_string("model", None, "Folder of an export, or of its versions.")
flags.DEFINE_string("known", None, "Inpainting: a mask file, or a folder of them.")
flags.DEFINE_string("root", None, "Folder that the pictures' paths are relative to.")
flags.DEFINE_enum(
    "crop",
    "auto",
    ["auto", "face", "none"],
    "Cut the face crop: where the size is not right already; always; never.",
)
flags.DEFINE_integer("batch_size", 32, "Images restored at a time.", lower_bound=1)
flags.DEFINE_integer("shards", 1, "Files to split the report into.", lower_bound=1)
flags.DEFINE_boolean("overwrite", False, "Replace pictures that were made from something else.")
flags.mark_flags_as_required(["task", "input", "output", "model"])


def main(argv):
    if not FLAGS["verbosity"].present:
        logging.set_verbosity(logging.ERROR)  # Beam tells of every thread and absent cloud
    from tfgpr import bulk

    counts = bulk.restore_bulk(
        FLAGS.input,
        FLAGS.output,
        FLAGS.task,
        FLAGS.model,
        known=FLAGS.known,
        crop=FLAGS.crop,
        batch_size=FLAGS.batch_size,
        root=FLAGS.root,
        shards=FLAGS.shards,
        overwrite=FLAGS.overwrite,
        flags=argv[1:],
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )
    for name, number in counts.items():
        print(f"{name:16} {number:>12,}")
    if counts["failed"]:
        print(f"Why files failed: {FLAGS.output}/failed*.jsonl")
        sys.exit(1)


if __name__ == "__main__":
    commands.run(main, others=True)
