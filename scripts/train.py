"""Trains a DCGAN prior on a folder of images or on CelebA.

python scripts/train.py --data_dir=img_align_celeba --model_dir=runs/faces --epochs=64
"""

from absl import flags

from tfgpr import commands

FLAGS = flags.FLAGS
flags.DEFINE_string("data_dir", None, "Folder of images; for celeb_a: where TFDS keeps its data.")
flags.DEFINE_string("model_dir", None, "Folder of the run; the prior is read from here.")
flags.DEFINE_enum("dataset", "folder", ["folder", "celeb_a"], "Where the images come from.")
flags.DEFINE_integer("epochs", 64, "Passes over the images, in all.", lower_bound=1)
flags.DEFINE_integer("base_channels", 64, "Width of G; 128 is the paper's.", lower_bound=4)
flags.DEFINE_boolean("resume", False, "Continue the run in --model_dir.")
flags.DEFINE_string("start_from", None, "state.npz of an ended run to start a new one from.")
flags.DEFINE_integer("num_images", None, "Use only so many of the folder's files.", lower_bound=1)
flags.DEFINE_integer("image_size", 64, "32, 64 or 128 pixels.")
flags.DEFINE_boolean("crop", True, "Cut the face crop; --nocrop: images have the right size.")
flags.DEFINE_integer("latent_dim", 256, "Size of z.", lower_bound=1)
flags.DEFINE_enum("latent_law", "uniform", ["uniform", "gaussian"], "Law of z.")
flags.DEFINE_integer("batch_size", 64, "Images in a step.", lower_bound=1)
flags.DEFINE_string("optimizer", "Adam", "Keras name; Addons>RectifiedAdam needs [addons].")
flags.DEFINE_float("learning_rate", 2e-4, "Of both optimizers.", lower_bound=0)
flags.DEFINE_float("r1_gamma", 1.0, "Weight of the R1 penalty.", lower_bound=0)
flags.DEFINE_boolean("augment", True, "DiffAugment.")
flags.DEFINE_boolean("discriminator_batch_norm", False, "Batch norm in D, as in the paper.")
flags.DEFINE_boolean("spectral_norm", False, "Spectral norm in D.")
flags.DEFINE_enum("dtype", "auto", ["auto", "float32", "mixed_bfloat16"], "Compute dtype.")
flags.DEFINE_float("checkpoint_minutes", 3.0, "Time between checkpoints.", lower_bound=0)
flags.DEFINE_integer("seed", 0, "Of everything random.", lower_bound=0)
flags.mark_flags_as_required(["model_dir"])


def main(_):
    from tfgpr import data, training
    from tfgpr.errors import InputError
    from tfgpr.images import FACE_CROP

    recipe = training.Recipe(
        image_size=FLAGS.image_size,
        crop=FACE_CROP if FLAGS.crop else None,
        base_channels=FLAGS.base_channels,
        latent_dim=FLAGS.latent_dim,
        latent_law=FLAGS.latent_law,
        discriminator_batch_norm=FLAGS.discriminator_batch_norm,
        spectral_norm=FLAGS.spectral_norm,
        r1_gamma=FLAGS.r1_gamma,
        augment=FLAGS.augment,
        optimizer=FLAGS.optimizer,
        learning_rate=FLAGS.learning_rate,
        batch_size=FLAGS.batch_size,
        seed=FLAGS.seed,
    )
    if FLAGS.dataset == "celeb_a":
        images = data.celeb_a(recipe.image_size, recipe.crop, tfds_dir=FLAGS.data_dir)
        count = int(images.cardinality())
    elif not FLAGS.data_dir:
        raise InputError("Expected --data_dir: a folder of images. Received: none.")
    else:
        folder = data.FolderImages(
            FLAGS.data_dir, recipe.image_size, recipe.crop, count=FLAGS.num_images
        )
        images, count = folder.dataset(), len(folder.files)
    if count < recipe.batch_size:
        raise InputError(
            f"Expected at least one batch of {recipe.batch_size} images. Received: {count}; "
            "give more images or a smaller --batch_size."
        )
    training.train(
        recipe,
        lambda seed: data.training_batches(images, count, recipe.batch_size, seed=seed),
        steps_per_epoch=count // recipe.batch_size,
        epochs=FLAGS.epochs,
        model_dir=FLAGS.model_dir,
        resume=FLAGS.resume,
        start_from=FLAGS.start_from,
        dtype=FLAGS.dtype,
        checkpoint_minutes=FLAGS.checkpoint_minutes,
        provenance={"dataset": FLAGS.dataset, "images": count},
    )


if __name__ == "__main__":
    commands.run(main)
