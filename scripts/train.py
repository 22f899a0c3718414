"""Trains a DCGAN prior on a folder of images or on CelebA.

python scripts/train.py --data_dir=img_align_celeba --model_dir=runs/faces
"""

import tensorflow as tf
from absl import flags

from tfgpr import commands, data, precision, training, training_speed
from tfgpr.images import FACE_CROP
from tfgpr.judge import QuickJudge
from tfgpr.training_plan import Plan, TrainingImages

FLAGS = flags.FLAGS
flags.DEFINE_string("data_dir", None, "Folder of images; for celeb_a: where TFDS keeps its data.")
flags.DEFINE_string("model_dir", None, "Folder of the run; the prior is read from here.")
flags.DEFINE_enum("dataset", "folder", ["folder", "celeb_a"], "Where the images come from.")
flags.DEFINE_integer(
    "epochs", None, "Passes over the images, in all; left out: by their number.", lower_bound=1
)
flags.DEFINE_integer("base_channels", 64, "Width of G; 128 is the paper's.", lower_bound=4)
flags.DEFINE_boolean("resume", False, "Continue the run in --model_dir.")
flags.DEFINE_string(
    "start_from", None, "state.npz of an ended run to start a new one from; D may be another."
)
flags.DEFINE_integer("num_images", None, "Use only so many of the folder's files.", lower_bound=1)
flags.DEFINE_integer("image_size", 64, "32, 64 or 128 pixels.")
flags.DEFINE_integer(
    "num_held_out", None, "Files kept to judge with; left out: by their number.", lower_bound=0
)
flags.DEFINE_boolean("crop", True, "Cut the face crop; --nocrop: images have the right size.")
flags.DEFINE_float(
    "crop_fraction",
    FACE_CROP,
    "Side of the central square that is cut, relative to the width; 1: all of it.",
    lower_bound=0.01,
    upper_bound=1.0,
)
flags.DEFINE_integer("latent_dim", 256, "Size of z.", lower_bound=1)
flags.DEFINE_enum("latent_law", "uniform", ["uniform", "gaussian"], "Law of z.")
flags.DEFINE_integer("kernel_size", 5, "Of all convolutions.", lower_bound=2)
flags.DEFINE_integer("batch_size", 64, "Images in a step.", lower_bound=1)
flags.DEFINE_string("optimizer", "Adam", "Keras name; Addons>RectifiedAdam needs [addons].")
flags.DEFINE_float("learning_rate", 2e-4, "Of all optimizers.", lower_bound=0)
flags.DEFINE_float(
    "discriminator_learning_rate", None, "Of D, if it is another (TTUR).", lower_bound=1e-8
)
flags.DEFINE_float("r1_gamma", 1.0, "Weight of the R1 penalty.", lower_bound=0)
flags.DEFINE_float(
    "reconstruction_weight",
    0.0,
    "Train an encoder too, and hold G to the real images by so much; 0: no.",
    lower_bound=0,
)
flags.DEFINE_boolean("augment", True, "DiffAugment.")
flags.DEFINE_boolean("cutout", None, "DiffAugment hides a square; left out: for small sets.")
flags.DEFINE_boolean("discriminator_batch_norm", False, "Batch norm in D, as in the paper.")
flags.DEFINE_boolean("spectral_norm", False, "Spectral norm in D.")
flags.DEFINE_enum("dtype", "auto", precision.DTYPES, "Compute dtype.")
flags.DEFINE_float("checkpoint_minutes", 3.0, "Time between checkpoints.", lower_bound=0)
flags.DEFINE_integer(
    "judge_every", 500, "Steps between two judgements; 0: none at all.", lower_bound=0
)
flags.DEFINE_boolean("distribute", False, "MirroredStrategy: all GPUs share each batch.")
flags.DEFINE_boolean("measure_speed", False, "Time a few steps of these settings, and end.")
flags.DEFINE_integer("seed", 0, "Of everything random.", lower_bound=0, upper_bound=2**31 - 1)
flags.mark_flags_as_required(["model_dir"])


def main(_):
    crop = FLAGS.crop_fraction if FLAGS.crop else None
    read = TrainingImages.of_celeb_a if FLAGS.dataset == "celeb_a" else TrainingImages.of_folder
    images = read(FLAGS.data_dir, FLAGS.image_size, crop, FLAGS.num_images, FLAGS.num_held_out)
    plan = Plan.of(images.count, FLAGS.batch_size, FLAGS.epochs)
    recipe = training.Recipe(
        image_size=FLAGS.image_size,
        crop=crop,
        base_channels=FLAGS.base_channels,
        latent_dim=FLAGS.latent_dim,
        latent_law=FLAGS.latent_law,
        kernel_size=FLAGS.kernel_size,
        discriminator_batch_norm=FLAGS.discriminator_batch_norm,
        spectral_norm=FLAGS.spectral_norm,
        r1_gamma=FLAGS.r1_gamma,
        augment=FLAGS.augment,
        cutout=plan.cutout if FLAGS.cutout is None else FLAGS.cutout,
        reconstruction_weight=FLAGS.reconstruction_weight,
        optimizer=FLAGS.optimizer,
        learning_rate=FLAGS.learning_rate,
        discriminator_learning_rate=FLAGS.discriminator_learning_rate,
        batch_size=FLAGS.batch_size,
        seed=FLAGS.seed,
    )

    def batches(seed):
        return data.training_batches(images.dataset, images.count, recipe.batch_size, seed=seed)

    if FLAGS.measure_speed:
        for name, value in training_speed.measure(recipe, batches(0), FLAGS.dtype).items():
            print(name, value if isinstance(value, str) else f"{value:.3g}")
        return
    judge = None
    if FLAGS.judge_every and len(images.held_out) > 1:
        judge = QuickJudge(images.held_out, images.sample)
    print("\n".join(plan.describe(judge is not None)), flush=True)
    training.train(
        recipe,
        batches,
        steps_per_epoch=plan.steps_per_epoch,
        epochs=plan.epochs,
        model_dir=FLAGS.model_dir,
        resume=FLAGS.resume,
        start_from=FLAGS.start_from,
        dtype=FLAGS.dtype,
        checkpoint_minutes=FLAGS.checkpoint_minutes,
        provenance={
            "dataset": FLAGS.dataset,
            "images": images.count,
            "held_out": len(images.held_out),
        },
        judge=judge,
        judge_every=FLAGS.judge_every,
        picture_every=plan.picture_every,
        strategy=tf.distribute.MirroredStrategy() if FLAGS.distribute else None,
    )


if __name__ == "__main__":
    commands.run(main)
