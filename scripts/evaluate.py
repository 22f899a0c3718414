"""Repeats the paper's evaluation (Table 1, Fig. 3) on a folder of images.

python scripts/evaluate.py --data_dir=img_align_celeba --output=results/faces
"""

from absl import flags

from tfgpr import commands, evaluation, prior
from tfgpr.errors import InputError
from tfgpr.evaluation.methods import USE_PRIOR
from tfgpr.images import FACE_CROP

FLAGS = flags.FLAGS
flags.DEFINE_string("data_dir", None, "Folder of images.")
flags.DEFINE_string("output", None, "Folder of the results; a run that ended early continues.")
flags.DEFINE_list("tasks", None, "Tasks, separated by commas; all if left out.")
flags.DEFINE_list("methods", None, "Methods, separated by commas; all if left out.")
flags.DEFINE_integer("num_images", 500, "How many images are restored.", lower_bound=1)
flags.DEFINE_integer("first", 8000, "Index of the first one, from 0.", lower_bound=0)
flags.DEFINE_enum("protocol", "clean", ["clean", "published"], "How images are degraded.")
flags.DEFINE_string("model_dir", None, "Folder of the prior; the shipped one if left out.")
flags.DEFINE_string("train_dir", None, "What baselines learn from; else: files before --first.")
flags.DEFINE_integer("num_train", 8000, "At most so many images to learn from.", lower_bound=1)
flags.DEFINE_integer("image_size", None, "Side in pixels; the prior's, or 64.", lower_bound=32)
flags.DEFINE_boolean("crop", True, "Cut the face crop; --nocrop: images have the right size.")
flags.DEFINE_integer("iterations", None, "Of default and paper, for a quick look.", lower_bound=1)
flags.DEFINE_string("cache_dir", None, "Where to keep what baselines learn; else in --output.")
flags.DEFINE_boolean("overwrite", False, "Throw away the results in --output first.")
flags.mark_flags_as_required(["data_dir", "output"])


def main(_):
    if FLAGS.image_size and FLAGS.image_size % 4:
        raise InputError(f"Expected --image_size in fours. Received: {FLAGS.image_size}.")
    wanted = FLAGS.methods or evaluation.METHODS
    loaded = prior.load_prior(FLAGS.model_dir) if {*wanted} & {*USE_PRIOR} else None
    crop = FACE_CROP if loaded is None else loaded.crop
    evaluation.evaluate(
        FLAGS.data_dir,
        FLAGS.output,
        FLAGS.tasks,
        FLAGS.methods,
        num_images=FLAGS.num_images,
        first=FLAGS.first,
        protocol=FLAGS.protocol,
        prior=loaded,
        train_dir=FLAGS.train_dir,
        num_train=FLAGS.num_train,
        image_size=FLAGS.image_size,
        crop=crop if FLAGS.crop else None,
        iterations=FLAGS.iterations,
        cache_dir=FLAGS.cache_dir,
        overwrite=FLAGS.overwrite,
    )
    print(f"Wrote {FLAGS.output}/report.html, table.md, figure.png and results.json.")


if __name__ == "__main__":
    commands.run(main)
