"""Measures a prior by inversion: how well can it draw faces that it has never seen?

python scripts/judge_prior.py --data_dir=img_align_celeba --first=7936 --output=judged
"""

import pathlib

from absl import flags

from tfgpr import commands

FLAGS = flags.FLAGS
flags.DEFINE_string("data_dir", None, "Folder of images; name some that were not trained on.")
flags.DEFINE_string("output", None, "New folder for judged.json, samples.png, inversions.png.")
flags.DEFINE_string("model_dir", None, "Folder of a prior; the shipped one if left out.")
flags.DEFINE_integer("first", 0, "Index of the first file, in sorted order.", lower_bound=0)
flags.DEFINE_integer("num_images", 64, "How many files.", lower_bound=1)
flags.DEFINE_enum("dtype", "auto", ["auto", "float32", "mixed_bfloat16"], "Compute dtype.")
flags.DEFINE_boolean("overwrite", False, "Replace results of the same name in --output.")
flags.mark_flags_as_required(["data_dir", "output"])


def main(_):
    import numpy as np

    import tfgpr
    from tfgpr import data, files, images, judge

    files.require_free(FLAGS.output, FLAGS.overwrite)
    prior = tfgpr.load_prior(FLAGS.model_dir, FLAGS.dtype)
    folder = data.FolderImages(
        FLAGS.data_dir, prior.image_size, prior.crop, FLAGS.first, FLAGS.num_images
    )
    faces = images.as_images(folder.load())
    generated, psnr = judge.invert(prior, faces)
    report = {
        "inversion_psnr_median": round(float(np.median(psnr)), 3),
        "inversion_psnr": [round(float(value), 3) for value in psnr],
        "files": [file.name for file in folder.files],
        "steps": prior.training.get("steps"),
    }
    with files.atomic_folder(FLAGS.output, FLAGS.overwrite) as output:
        images.write_png(output / "samples.png", images.grid(prior.sample(64), columns=8))
        pairs = {"face": faces[:16], "G(z*)": generated[:16]}
        images.write_png(output / "inversions.png", images.labelled_columns(pairs))
        files.write_json(output / "judged.json", report)
    print(f"median inversion PSNR over {len(faces)} images: {np.median(psnr):.2f} dB")
    print(f"pictures: {pathlib.Path(FLAGS.output)}")


if __name__ == "__main__":
    commands.run(main)
