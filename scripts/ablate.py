"""What each part of the default restoration is worth, measured by leaving it out or changing it.

python scripts/ablate.py --data_dir=img_align_celeba --output=results/ablation
"""

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


def main(_):
    from tfgpr.evaluation.ablation import ablate
    from tfgpr.prior import load_prior

    ablate(
        FLAGS.data_dir,
        FLAGS.output,
        load_prior(FLAGS.model_dir),
        FLAGS.tasks,
        FLAGS.variants,
        first=FLAGS.first,
        num_images=FLAGS.num_images,
        overwrite=FLAGS.overwrite,
    )


if __name__ == "__main__":
    commands.run(main)
