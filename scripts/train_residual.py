"""Learns what a restoration adds to a GAN: where to start the search, and the network of nu
in x* = G(z*) + nu, what the generator cannot draw.

python scripts/train_residual.py --data_dir=img_align_celeba --num_images=7500 \
    --model_dir=runs/faces --work_dir=runs/residual --output=runs/faces_with_residual

First it trains the encoder that starts a search, then searches z* for half of the images, then
trains nu. Killed at any moment, the same command goes on. What it ends with is in --work_dir too
(`complete`).
"""

from absl import flags

from tfgpr import commands

FLAGS = flags.FLAGS
flags.DEFINE_string("data_dir", None, "Folder of the images that the prior was trained on.")
flags.DEFINE_string("model_dir", None, "Folder of the prior; default: the shipped one.")
flags.DEFINE_string("work_dir", None, "Keeps the latents found and the states of the trainings.")
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
flags.DEFINE_integer(
    "encoder_epochs", 30, "Of --steps_per_epoch, for the encoder; 0: none.", lower_bound=0
)
flags.DEFINE_string("start_from", None, "Folder of a prior whose nu is to be trained on.")
flags.DEFINE_integer("epochs", 50, "Of --steps_per_epoch steps each.", lower_bound=1)
flags.DEFINE_integer("steps_per_epoch", 100, "Steps of 80 images.", lower_bound=1)
flags.DEFINE_float("learning_rate", 1e-3, "Of Adam, at the start of both trainings.", lower_bound=0)
flags.DEFINE_float(
    "realism", 0.0, "Weight of a critic of enlarged textures; 0: none.", lower_bound=0
)
flags.DEFINE_boolean("overwrite", False, "Replace the prior in --output.")
flags.mark_flags_as_required(["data_dir", "work_dir", "output"])


def main(_):
    import pathlib

    from tfgpr import networks, precision, residual, residual_examples, residual_training
    from tfgpr.data import FolderImages
    from tfgpr.errors import InputError
    from tfgpr.files import require_free
    from tfgpr.prior import load_prior

    require_free(FLAGS.output, FLAGS.overwrite)
    prior = load_prior(FLAGS.model_dir)
    files = FolderImages(FLAGS.data_dir, prior.image_size, prior.crop).files
    held_out = min(FLAGS.num_held_out, len(files) // 10)
    count = min(FLAGS.num_images or len(files), len(files) - held_out)
    work = pathlib.Path(FLAGS.work_dir)
    architecture = {"image_size": prior.image_size, "channels": list(residual.CHANNELS)}
    started = load_prior(FLAGS.start_from).residual if FLAGS.start_from else None
    if FLAGS.start_from and (started is None or started.architecture != architecture):
        raise InputError(
            f"Expected --start_from as a prior with a network of nu {architecture}. Received: "
            f"{started and started.architecture}."
        )

    def images(first, count):
        return FolderImages(FLAGS.data_dir, prior.image_size, prior.crop, first, count).load()

    parts = (0, images(0, count), FLAGS.search_every), (count, images(count, held_out), 1)
    encoded = work / "with_encoder"
    if encoded.exists():
        given, prior = prior, load_prior(encoded)
        pairs = zip(given.generator.get_weights(), prior.generator.get_weights())
        if given.architecture != prior.architecture or any((a != b).any() for a, b in pairs):
            raise InputError(
                f"Expected the generator that {work} was begun with. Received: another one; "
                "choose a new --work_dir, or give the --model_dir of then."
            )
    elif prior.image_size not in networks.IMAGE_SIZES:
        print(f"No encoder for images of {prior.image_size} pixels: searches start from a bank.")
    elif FLAGS.encoder_epochs:
        pair = [residual_examples.Examples(prior, each, None, first) for first, each, _ in parts]
        residual_training.fit_encoder(
            prior,
            *pair,
            work / "encoder",
            FLAGS.encoder_epochs,
            FLAGS.steps_per_epoch,
            FLAGS.learning_rate,
        )
        prior.save(encoded)
    pair = []
    for first, each, every in parts:
        latents = residual_examples.search_latents(prior, each, work / "latents", first, every)
        pair.append(residual_examples.Examples(prior, each, latents, first))
    network = started or residual.Residual.untrained(architecture, precision.resolve())
    psnr = residual_training.fit(
        network.network,
        *pair,
        work,
        FLAGS.epochs,
        FLAGS.steps_per_epoch,
        FLAGS.learning_rate,
        FLAGS.realism,
    )
    steps = FLAGS.epochs * FLAGS.steps_per_epoch
    about = {"images": count, "steps": steps, "realism": FLAGS.realism}
    about |= {"held_out_images": held_out, "held_out_psnr": psnr}
    if started:
        about["started_from"] = started.training
    prior.residual = residual.Residual(network.network, network.architecture, about)
    prior.save(work / "complete", overwrite=True)  # whatever happens to the output
    prior.save(FLAGS.output, FLAGS.overwrite)
    print(f"Held-out PSNR {psnr}; the prior with nu is in {FLAGS.output}")


if __name__ == "__main__":
    commands.run(main)
