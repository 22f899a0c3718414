"""Learns what a restoration adds to a GAN: where to start the search, and the network of nu
in x* = G(z*) + nu, what the generator cannot draw.

python scripts/train_residual.py --data_dir=img_align_celeba --num_images=7500 \
    --model_dir=runs/faces --work_dir=runs/residual --output=runs/faces_with_residual

First it trains the encoder that starts a search, then searches z* for half of the images, then
trains nu. Killed at any moment, the same command goes on. What it ends with is in --work_dir too
(`complete`).
"""

from absl import flags

from tfgpr import commands, residual_run

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
    prior = residual_run.train(
        FLAGS.data_dir,
        FLAGS.work_dir,
        FLAGS.output,
        FLAGS.model_dir,
        num_images=FLAGS.num_images,
        search_every=FLAGS.search_every,
        num_held_out=FLAGS.num_held_out,
        encoder_epochs=FLAGS.encoder_epochs,
        start_from=FLAGS.start_from,
        epochs=FLAGS.epochs,
        steps_per_epoch=FLAGS.steps_per_epoch,
        learning_rate=FLAGS.learning_rate,
        realism=FLAGS.realism,
        overwrite=FLAGS.overwrite,
    )
    psnr = prior.residual.training["held_out_psnr"]
    print(f"Held-out PSNR {psnr}; the prior with nu is in {FLAGS.output}")


if __name__ == "__main__":
    commands.run(main)
