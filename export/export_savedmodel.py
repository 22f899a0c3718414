"""Exports the restoration of every task as a SavedModel for TF Serving.

python export/export_savedmodel.py --output=models/tfgpr
"""

from absl import flags, logging

from tfgpr import commands, precision, serving
from tfgpr.prior import load_prior

FLAGS = flags.FLAGS
flags.DEFINE_string("output", None, "Folder of all versions of the model.")
flags.DEFINE_integer(
    "version", None, "Number of this version; default: the next free one.", 1, 2**63 - 1
)
flags.DEFINE_string("model_dir", None, "Folder of the prior; default: the shipped one.")
flags.DEFINE_integer("iterations", None, "Of every task; default: each task's own.", lower_bound=1)
flags.DEFINE_string("default_task", "inpainting", "What the signature serving_default restores.")
flags.DEFINE_integer("seed", 0, "Of the starts.", 0, 2**31 - 1)
flags.DEFINE_enum("dtype", "float32", precision.DTYPES, "What the networks compute in.")
flags.mark_flags_as_required(["output"])


def main(_):
    logging.set_verbosity(logging.WARNING)  # TensorFlow names the folder before its renaming
    path = serving.export_savedmodel(
        load_prior(FLAGS.model_dir, FLAGS.dtype),
        FLAGS.output,
        version=FLAGS.version,
        iterations=FLAGS.iterations,
        default_task=FLAGS.default_task,
        seed=FLAGS.seed,
    )
    megabytes = sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) / 1e6
    print(f"Wrote {path} ({megabytes:.1f} MB).")


if __name__ == "__main__":
    commands.run(main)
