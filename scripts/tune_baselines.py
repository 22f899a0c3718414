"""Chooses the baselines' weights on training faces, never on test faces.

python scripts/tune_baselines.py --data_dir=img_align_celeba

Baselines learn from files 000001-007500; every weight of the grids (`tfgpr.evaluation.tuning`) is
tried on files 007501-007500+num_images, and the three with the highest mean PSNR are printed.

The defaults in `tfgpr/baselines/` (PSNR in dB / SSIM), on 500 faces (--num_images=500):

    tv        denoising 27.96 / .843  dequantization 26.40 / .805
    low_rank  inpainting 22.24 / .752  denoising 24.79 / .696
    sparse    denoising 30.28 / .903
    pca       inpainting 28.17 / .889  colorization 27.81 / .967  super-resolution 26.50 / .825
              denoising 30.27 / .899  dequantization 28.24 / .876

and on 100: low_rank dequantization 25.18 / .766; sparse inpainting 27.40 / .866,
super-resolution 25.69 / .797, dequantization 28.11 / .868. On 500, sparse super-resolution
reaches 25.86 / .802 with tolerance .06 and 8 turns, in twice the time; tv dequantization
26.41 with weight 6.
"""

from absl import flags

from tfgpr import commands

FLAGS = flags.FLAGS
flags.DEFINE_string("data_dir", None, "Folder of images.")
flags.DEFINE_integer("num_images", 100, "How many images each weight is tried on.", lower_bound=1)
flags.DEFINE_integer("first", 7500, "Index of the first; baselines learn from those before.")
flags.DEFINE_list("methods", None, "Of the grids; all if left out.")
flags.DEFINE_list("tasks", None, "Of the grids; all if left out.")
flags.DEFINE_string("cache", None, "Folder where to keep what the baselines learn.")
flags.mark_flags_as_required(["data_dir"])


def main(_):
    from tfgpr.evaluation.tuning import tune

    tune(
        FLAGS.data_dir,
        FLAGS.methods,
        FLAGS.tasks,
        first=FLAGS.first,
        num_images=FLAGS.num_images,
        cache=FLAGS.cache,
    )


if __name__ == "__main__":
    commands.run(main)
