"""Measures restorations beside the published loop and beside the machine's limit.

python scripts/benchmark.py --data_dir=img_align_celeba --output=results/benchmark.json
"""

from absl import flags

from tfgpr import commands

TASKS = ["inpainting", "colorization", "super_resolution", "denoising", "dequantization"]

FLAGS = flags.FLAGS
flags.DEFINE_string("output", None, "JSON file; the plot goes beside it. A run continues.")
flags.DEFINE_list("sections", None, "Parts, separated by commas; all if left out.")
flags.DEFINE_enum("task", "inpainting", TASKS, "What is restored.")
flags.DEFINE_string("data_dir", None, "Folder of clean images; drawn by the prior if left out.")
flags.DEFINE_integer("first", 8000, "Index of the first image, from 0.", lower_bound=0)
flags.DEFINE_integer("num_images", 64, "How many are restored as a batch.", lower_bound=2)
flags.DEFINE_integer("single_images", 4, "How many also one at a time.", lower_bound=1)
flags.DEFINE_integer(
    "paper_iterations", None, "Shorten the published loop; reported, not scaled.", lower_bound=1
)
flags.DEFINE_boolean("pytorch", True, "Run the published loop in PyTorch too.")
flags.DEFINE_string("model_dir", None, "Folder of a prior; the shipped one if left out.")
flags.DEFINE_enum("dtype", "auto", ["auto", "float32", "mixed_bfloat16"], "Compute dtype.")
flags.DEFINE_list("batches", ["1", "4", "16", "64", "256"], "Batches of section scaling.")
flags.DEFINE_list("iterations", ["20", "40", "80", "160", "320"], "Iterations of scaling.")
flags.DEFINE_list("widths", ["32", "64", "128"], "base_channels of scaling and training.")
flags.DEFINE_list("training_batches", ["16", "64"], "Batches of section training.")
flags.DEFINE_float("seconds", 2.0, "How long each figure is measured at least.", lower_bound=0)
flags.DEFINE_integer(
    "seed", 0, "Of the starts and of the noise.", lower_bound=0, upper_bound=2**31 - 1
)
flags.DEFINE_boolean("overwrite", False, "Replace --output if it is there.")
flags.mark_flags_as_required(["output"])


def main(_):
    import functools

    import tfgpr
    from tfgpr import benchmark, data
    from tfgpr.benchmark import report, run

    load = functools.partial(tfgpr.load_prior, FLAGS.model_dir)
    prior = load("float32")
    if FLAGS.data_dir is None:
        images = prior.sample(FLAGS.num_images, seed=1).numpy()
    else:
        folder = data.FolderImages(
            FLAGS.data_dir, prior.image_size, prior.crop, FLAGS.first, FLAGS.num_images
        )
        images = tfgpr.images.as_images(folder.load())
    setting = run.Setting(
        load=load,
        task=tfgpr.tasks.TASKS[FLAGS.task](),
        images=images,
        single_images=FLAGS.single_images,
        paper_iterations=FLAGS.paper_iterations,
        pytorch=FLAGS.pytorch,
        seconds=FLAGS.seconds,
        seed=FLAGS.seed,
        dtype=FLAGS.dtype,
        model_dir=FLAGS.model_dir,
        data_dir=FLAGS.data_dir,
        batches=commands.numbers("batches"),
        iterations=commands.numbers("iterations"),
        widths=commands.numbers("widths"),
        training_batches=commands.numbers("training_batches"),
    )
    sections = FLAGS.sections or tuple(benchmark.SECTIONS)
    found = benchmark.benchmark(setting, FLAGS.output, sections, FLAGS.overwrite)
    print(report.table(found))
    print(f"\nWrote {FLAGS.output} and its plot.")


if __name__ == "__main__":
    commands.run(main)
