"""Deblurring: a Gaussian blur and a little noise, undone with the shipped prior.

python scripts/examples/deblurring.py --output=results/deblurred
"""

from absl import flags

from tfgpr import commands

FLAGS = flags.FLAGS
flags.DEFINE_string("output", None, "New folder for the picture.")
flags.DEFINE_float("sigma", 2.0, "Standard deviation of the blur in pixels.", lower_bound=0.1)
flags.DEFINE_float("noise_stddev", 0.01, "Of the noise, in units of [0, 1].", lower_bound=0.0)
flags.DEFINE_integer("iterations", 200, "Steps of the search.", lower_bound=1)
flags.DEFINE_boolean("overwrite", False, "Replace the picture in --output.")
flags.mark_flags_as_required(["output"])


def restore(prior, clean, sigma, noise_stddev, iterations):
    """The `Restoration` of clean images after blur and noise."""
    import tfgpr

    blur = tfgpr.operators.GaussianBlur(sigma)
    task = tfgpr.tasks.custom(
        "deblurring",
        blur,
        noise_stddev,
        # Detail that y still shows is taken over; stopped early, before y's noise is.
        consistency=tfgpr.consistency.LeastChange(blur, iterations=5),
        observed_range=(-0.5, 1.5),
    )
    method = task.default.with_iterations(iterations)
    return tfgpr.Restorer(prior, task, method).restore(task.corruption(clean))


def main(_):
    import tfgpr
    from tfgpr import files, images, metrics

    files.require_free(FLAGS.output, FLAGS.overwrite)
    face = tfgpr.example_face()
    result = restore(tfgpr.load_prior(), face, FLAGS.sigma, FLAGS.noise_stddev, FLAGS.iterations)
    print(f"observed: {metrics.psnr(result.observed, face)[0]:.2f} dB")
    print(f"restored: {metrics.psnr(result.images, face)[0]:.2f} dB")
    images.write_png(f"{FLAGS.output}/comparison.png", result.plot(face))


if __name__ == "__main__":
    commands.run(main)
