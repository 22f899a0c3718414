"""Restores face images with a trained prior.

python scripts/restore.py --task=inpainting --input=face.png --corrupt --output=results
"""

import time

from absl import flags

import tfgpr
from tfgpr import commands, files, observations, precision, restore_files, tasks

FLAGS = flags.FLAGS
flags.DEFINE_enum("task", None, list(tasks.TASKS), "What was done to the images.")
flags.DEFINE_string("input", None, "An image file, or a folder of them.")
flags.DEFINE_string("output", None, "New folder for the restored images.")
flags.DEFINE_string("known", None, "Inpainting: mask file, white = observed, black = hole.")
flags.DEFINE_string("model_dir", None, "Folder of a prior; the shipped one if left out.")
flags.DEFINE_integer("iterations", None, "Steps of the search; the method's own if left out.")
flags.DEFINE_integer(
    "seed",
    0,
    "Of the starts, and of the noise with --corrupt.",
    lower_bound=0,
    upper_bound=2**31 - 1,
)
flags.DEFINE_enum("method", "default", ["default", "paper"], "How to search.")
flags.DEFINE_boolean("corrupt", False, "Inputs are clean: degrade them first; report PSNR, SSIM.")
flags.DEFINE_boolean("value", False, "Colorization: the gray image is V of HSV, not luma.")
flags.DEFINE_enum(
    "crop",
    "auto",
    ["auto", "face", "none"],
    "Cut the face crop: where the size is not right already; always; never.",
)
flags.DEFINE_boolean("find_faces", False, "Inputs are photos: restore the faces that are in them.")
flags.DEFINE_integer("batch_size", 32, "Images restored at a time.", lower_bound=1)
flags.DEFINE_enum("dtype", "auto", precision.DTYPES, "Compute dtype.")
flags.DEFINE_boolean("overwrite", False, "Replace results of the same name in --output.")
flags.mark_flags_as_required(["task", "input", "output"])


def main(_):
    if FLAGS.value and FLAGS.task != "colorization":
        raise tfgpr.InputError(f"Expected --value with colorization only. Received: {FLAGS.task}.")
    if FLAGS.find_faces and FLAGS.crop != "auto":
        raise tfgpr.InputError(f"Expected no --crop with --find_faces. Received: {FLAGS.crop}.")
    files.require_free(FLAGS.output, FLAGS.overwrite)
    task = tasks.TASKS[FLAGS.task](**({"value": True} if FLAGS.value else {}))
    method = getattr(task, FLAGS.method)
    if FLAGS.iterations is not None:
        method = method.with_iterations(FLAGS.iterations)
    prior = tfgpr.load_prior(FLAGS.model_dir, FLAGS.dtype)
    restorer = tfgpr.Restorer(prior, task, method, FLAGS.seed)
    began = time.monotonic()
    if FLAGS.find_faces:
        report = restore_files.restore_photos_to_folder(
            restorer,
            FLAGS.input,
            FLAGS.output,
            known=FLAGS.known,
            corrupt=FLAGS.corrupt,
            seed=FLAGS.seed,
            batch_size=FLAGS.batch_size,
            overwrite=FLAGS.overwrite,
        )
        left_out = [photo["name"] for photo in report["images"] if not photo["faces"]]
        if left_out:
            print(f"Nothing to restore in {len(left_out)} photo(s): {', '.join(left_out)}")
        count = f"{sum(len(photo['faces']) for photo in report['images'])} face(s)"
    else:
        loaded = observations.load_observations(
            FLAGS.input,
            task,
            prior.image_size,
            prior.crop,
            known=FLAGS.known,
            corrupt=FLAGS.corrupt,
            crop=FLAGS.crop,
            seed=FLAGS.seed,
        )
        report = restore_files.restore_to_folder(
            restorer, loaded, FLAGS.output, FLAGS.batch_size, FLAGS.overwrite
        )
        count = f"{len(loaded.names)} image(s)"
    print(f"Restored {count} in {time.monotonic() - began:.1f} s: {FLAGS.output}/comparison.png")
    for name, value in report["mean"].items():
        print(f"  mean {name}: {value:.4g}")


if __name__ == "__main__":
    commands.run(main)
