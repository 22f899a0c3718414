"""Restores image files on a server that serves an export of tfgpr, over gRPC.

python export/restore_client.py --target=localhost:8500 --task=inpainting --input=face.png \
    --known=mask.png --output=results
"""

import time

import keras
from absl import flags

from tfgpr import commands, files, images, observations, serving, tasks

FLAGS = flags.FLAGS
flags.DEFINE_string("target", None, "HOST:PORT of the server's gRPC service.")
flags.DEFINE_enum("task", None, list(tasks.TASKS), "What was done to the images.")
flags.DEFINE_string("input", None, "An image file, or a folder of them.")
flags.DEFINE_string("output", None, "New folder for the restored images.")
flags.DEFINE_string("known", None, "Inpainting: mask file, white = observed, black = hole.")
flags.DEFINE_boolean("corrupt", False, "Inputs are clean: degrade them first.")
flags.DEFINE_enum(
    "crop",
    "auto",
    ["auto", "face", "none"],
    "Cut the face crop: where the size is not right already; always; never.",
)
flags.DEFINE_string("model", "tfgpr", "Name of the model on the server.")
flags.DEFINE_integer("version", None, "Version of the model; default: the newest.", 1, 2**63 - 1)
flags.DEFINE_float("deadline", 120.0, "Seconds that one batch may take.")
flags.DEFINE_integer("batch_size", 16, "Images in one request at most.", lower_bound=1)
flags.DEFINE_integer("concurrency", 1, "Requests under way at a time.", lower_bound=1)
flags.DEFINE_integer("retries", 4, "How often to try again while unavailable.", lower_bound=0)
flags.DEFINE_integer("seed", 0, "Of the noise with --corrupt.", 0, 2**31 - 1)
flags.DEFINE_boolean("overwrite", False, "Replace results of the same name in --output.")
flags.mark_flags_as_required(["target", "task", "input", "output"])


def main(_):
    files.require_free(FLAGS.output, FLAGS.overwrite)
    with serving.RestoreClient(
        FLAGS.target,
        FLAGS.model,
        FLAGS.version,
        FLAGS.deadline,
        FLAGS.batch_size,
        FLAGS.concurrency,
        FLAGS.retries,
    ) as client:
        loaded = observations.load_observations(
            FLAGS.input,
            client.task(FLAGS.task),
            client.image_size(FLAGS.task),
            client.crop(),
            known=FLAGS.known,
            corrupt=FLAGS.corrupt,
            crop=FLAGS.crop,
            seed=FLAGS.seed,
        )
        bar = keras.utils.Progbar(len(loaded.names), unit_name="image")
        began = time.monotonic()
        # The folder first: where none can be written, nothing is restored.
        with files.atomic_folder(FLAGS.output, FLAGS.overwrite) as folder:
            result = client.restore(
                FLAGS.task, loaded.observed, lambda done, _: bar.update(done), **loaded.conditions
            )
            for name, image in zip(loaded.names, result.images):
                images.write_png(folder / f"{name}.png", image)
            columns = result.columns(loaded.originals, rows=16)
            images.write_png(folder / "comparison.png", images.labelled_columns(columns))
    seconds = time.monotonic() - began
    print(f"Restored {len(loaded.names)} image(s) in {seconds:.1f} s: {FLAGS.output}")


if __name__ == "__main__":
    commands.run(main)
