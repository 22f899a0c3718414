"""Two operators composed: an old photo that is gray and scratched, colored and mended at once.

python scripts/examples/composed_operators.py --output=results/old_photo
"""

from absl import flags

from tfgpr import commands

FLAGS = flags.FLAGS
flags.DEFINE_string("output", None, "New folder for the picture.")
flags.DEFINE_integer("iterations", 200, "Steps of the search.", lower_bound=1)
flags.DEFINE_boolean("overwrite", False, "Replace the picture in --output.")
flags.mark_flags_as_required(["output"])


def scratches(size):
    """A mask `[1, size, size, 1]`: 0 on two diagonal scratches, 1 elsewhere."""
    import numpy as np

    across = np.arange(size) - np.arange(size)[:, None]
    scratched = (abs(across - size // 6) < 3) | (abs(across + size // 4) < 2)
    return np.float32(~scratched)[None, :, :, None]


def keep_luma(generated, observed, known):
    """What is owed to y: its luma where it is known, and no seam along the scratches."""
    from tfgpr import consistency

    shifted = consistency.shift_luma(generated, observed)
    return consistency.poisson_blend(generated, shifted, known)


def restore(prior, clean, known, iterations):
    """The `Restoration` of clean images from their luma where `known` is 1."""
    import tfgpr
    from tfgpr.operators import Compose, Inpainting, Luma

    operator = Compose([Inpainting(), Luma()])  # the first one first
    task = tfgpr.tasks.custom("old_photo", operator, consistency=keep_luma)
    method = task.default.with_iterations(iterations)
    observed = task.corruption(clean, known=known)
    return tfgpr.Restorer(prior, task, method).restore(observed, known=known)


def main(_):
    import tfgpr
    from tfgpr import files, images, metrics

    files.require_free(FLAGS.output, FLAGS.overwrite)
    face, prior = tfgpr.example_face(), tfgpr.load_prior()
    result = restore(prior, face, scratches(prior.image_size), FLAGS.iterations)
    print(f"restored: {metrics.psnr(result.images, face)[0]:.2f} dB")
    images.write_png(f"{FLAGS.output}/comparison.png", result.plot(face))


if __name__ == "__main__":
    commands.run(main)
