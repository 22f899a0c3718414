"""Redraws the pictures of the README and of the shipped prior's card, from the shipped prior.

python scripts/make_pictures.py
"""

import pathlib

import numpy as np
from absl import flags

import tfgpr
from tfgpr import commands, images
from tfgpr.prior import SHIPPED

FLAGS = flags.FLAGS
flags.DEFINE_string("model_dir", None, "Folder of a prior; the shipped one if left out.")
flags.DEFINE_string("output", None, "Folder for the pictures; where the package has them.")


def main(_):
    prior = tfgpr.load_prior(FLAGS.model_dir)
    columns = {}
    for name, make in tfgpr.tasks.TASKS.items():
        task = make()
        observed, given = task.observe(tfgpr.example_face())
        result = tfgpr.Restorer(prior, task).restore(observed, **given)
        enlarge = prior.image_size // observed.shape[1]
        observed = observed.repeat(enlarge, axis=1).repeat(enlarge, axis=2)
        observed = np.broadcast_to(observed, result.images.shape)
        columns[name] = np.concatenate([observed, result.generated, result.images])
        print(f"{name}: done")
    picture, samples = images.labelled_columns(columns), images.grid(prior.sample(64), columns=8)
    output = pathlib.Path(FLAGS.output) if FLAGS.output else None
    images.write_png((output or images.ASSETS) / "five_tasks.png", picture)
    images.write_png((output or SHIPPED) / "samples.png", samples)


if __name__ == "__main__":
    commands.run(main)
