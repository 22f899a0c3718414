"""Trains the same on one logical CPU device and on two; prints the losses as JSON.

The number of devices has to be set before TensorFlow starts: tests/test_distribution.py runs
this in a process of its own.
"""

import csv
import json
import pathlib
import sys

import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, 2 * [tf.config.LogicalDeviceConfiguration()])

from tfgpr import training  # noqa: E402
from tfgpr.errors import InputError  # noqa: E402

RECIPE = training.Recipe(
    image_size=32,
    crop=None,
    base_channels=4,
    latent_dim=6,
    batch_size=8,
    augment=False,  # its random numbers are drawn anew on each replica
    learning_rate=2e-3,
    reconstruction_weight=0.1,
)


def batches(seed):
    images = np.random.default_rng(0).random((16, 32, 32, 3), np.float32)
    return tf.data.Dataset.from_tensor_slices(images).repeat().batch(8, drop_remainder=True)


def rows(model_dir):
    with open(model_dir / "log.csv", newline="") as file:
        return [[float(value) for value in row.values()] for row in csv.DictReader(file)]


def main(folder):
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    found = {"replicas": strategy.num_replicas_in_sync}
    settings = {"dtype": "float32", "strategy": strategy}
    one = training.train(RECIPE, batches, 2, 3, folder / "one", dtype="float32")
    training.train(RECIPE, batches, 2, 2, folder / "two", **settings)
    two = training.train(RECIPE, batches, 2, 3, folder / "two", resume=True, **settings)
    found["losses"] = {name: rows(folder / name) for name in ("one", "two")}
    found["steps"] = two.training["steps"]
    found["difference"] = float(np.abs(one.sample(4) - two.sample(4)).max())
    found["spread"] = float(np.std(one.sample(4)))
    seen = np.random.default_rng(1).random((4, 32, 32, 6), np.float32)
    encoded = [np.array(prior.encoder.network(seen)) for prior in (one, two)]
    found["encoder_difference"] = float(np.abs(encoded[0] - encoded[1]).max())
    found["encoder_spread"] = float(np.std(encoded[0]))
    try:
        odd = training.Recipe(**{**RECIPE.__dict__, "batch_size": 7})
        training.train(odd, batches, 2, 1, folder / "odd", **settings)
    except InputError as error:
        found["odd"] = str(error)
    print(json.dumps(found))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
