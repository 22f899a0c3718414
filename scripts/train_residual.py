"""Learns what a prior's generator cannot draw: the network of nu in x* = G(z*) + nu.

python scripts/train_residual.py --data_dir=img_align_celeba --num_images=7500 \
    --model_dir=runs/faces --work_dir=runs/residual --output=runs/faces_with_residual

It searches z* for half of the images first. Killed at any moment, the same command goes on.
"""

from absl import flags

from tfgpr import commands

FLAGS = flags.FLAGS
flags.DEFINE_string("data_dir", None, "Folder of the images that the prior was trained on.")
flags.DEFINE_string("model_dir", None, "Folder of the prior; default: the shipped one.")
flags.DEFINE_string("work_dir", None, "Keeps the latents found and the state of the training.")
flags.DEFINE_string("output", None, "Folder for the prior with its residual network.")
flags.DEFINE_integer("num_images", None, "Use only so many of the folder's files.", lower_bound=1)
flags.DEFINE_integer(
    "search_every",
    2,
    "Search z* in every so many stretches of 250 images; "
    "the others are learned from beside the mean drawing.",
    lower_bound=1,
)
flags.DEFINE_integer("num_held_out", 250, "So many files after those judge it.", lower_bound=16)
flags.DEFINE_integer("epochs", 50, "Of --steps_per_epoch steps each.", lower_bound=1)
flags.DEFINE_integer("steps_per_epoch", 100, "Steps of 80 images.", lower_bound=1)
flags.DEFINE_float("learning_rate", 1e-3, "Of Adam, at the start.", lower_bound=0)
flags.DEFINE_boolean("overwrite", False, "Replace the prior in --output.")
flags.mark_flags_as_required(["data_dir", "work_dir", "output"])


def main(_):
    import pathlib

    from tfgpr import precision, residual, residual_training
    from tfgpr.data import FolderImages
    from tfgpr.files import require_free
    from tfgpr.prior import load_prior

    require_free(FLAGS.output, FLAGS.overwrite)
    prior = load_prior(FLAGS.model_dir)
    files = FolderImages(FLAGS.data_dir, prior.image_size, prior.crop).files
    held_out = min(FLAGS.num_held_out, len(files) // 10)
    count = min(FLAGS.num_images or len(files), len(files) - held_out)
    work = pathlib.Path(FLAGS.work_dir)

    def examples(first, count, every):
        folder = FolderImages(FLAGS.data_dir, prior.image_size, prior.crop, first, count)
        images = folder.load()
        latents = residual_training.search_latents(prior, images, work / "latents", first, every)
        return residual_training.Examples(prior, images, latents, first)

    arguments = {"image_size": prior.image_size, "channels": list(residual.CHANNELS)}
    network = residual.residual_network(**arguments, dtype=precision.resolve())
    psnr = residual_training.fit(
        network,
        examples(0, count, FLAGS.search_every),
        examples(count, held_out, 1),
        work,
        FLAGS.epochs,
        FLAGS.steps_per_epoch,
        FLAGS.learning_rate,
    )
    steps = FLAGS.epochs * FLAGS.steps_per_epoch
    about = {"images": count, "steps": steps, "held_out_images": held_out, "held_out_psnr": psnr}
    prior.residual = residual.Residual(network, arguments, about)
    prior.save(FLAGS.output, FLAGS.overwrite)
    print(f"Held-out PSNR {psnr}; the prior with nu is in {FLAGS.output}")


if __name__ == "__main__":
    commands.run(main)
