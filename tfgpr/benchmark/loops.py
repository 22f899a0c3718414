"""The published loop and tfgpr's own: seconds per image, objective reached, PSNR.

`loops` runs each on the same observations from the same starts; `target` asks when tfgpr's
search has reached what each published loop ended with.
"""

import dataclasses
import functools
import importlib.util
import tempfile
import time

import numpy as np
import tensorflow as tf

from tfgpr import precision
from tfgpr.errors import InputError
from tfgpr.initialization import ClippedNormal
from tfgpr.metrics import psnr
from tfgpr.objective import DataFidelity, Objective
from tfgpr.restoration import Restorer
from tfgpr.serving.export import export_savedmodel

_ALONE, _TOGETHER = "one at a time", "one batch"


def require_pytorch():
    """Raises InputError where PyTorch is absent."""
    if importlib.util.find_spec("torch") is None:
        raise InputError(
            "Expected PyTorch to compare with. Received: no package torch; pip install "
            "'tfgpr[benchmark]', or leave it out with --nopytorch."
        )


def loops(setting, prior, results):
    """Each loop over all images as one batch, and over some of them one at a time."""
    published, default = setting.published, setting.task.default.for_prior(prior)
    ways = {"paper, TensorFlow": (published, _tensorflow(setting, prior, published))}
    if setting.pytorch:
        ways["paper, PyTorch float32"] = published, _pytorch(setting, prior, False)
        if precision.policy_of(prior.generator) == "mixed_bfloat16":
            ways["paper, PyTorch bfloat16"] = published, _pytorch(setting, prior, True)
    ways["default"] = default, _tensorflow(setting, prior, default)
    ways["default, exported"] = default, _exported(setting, prior)
    for name, (method, make) in ways.items():
        _both_ways(setting, prior, results, "loops", name, method, make)


def _both_ways(setting, prior, results, section, name, method, make):
    """The rows of a loop, by mode: over all images as one batch, over single ones alone."""
    ways = ((_TOGETHER, setting.images, len(setting.images)), (_ALONE, setting.single, 1))
    rows = {}
    for mode, images, batch in ways:

        def measure(images=images, batch=batch):
            return _measure(setting, prior, method, make(), images, batch)

        rows[mode] = results.row(section, f"{name}, {mode}", measure)
    return rows


def _measure(setting, prior, method, restore, images, batch):
    observed, conditions = setting.observe(images)
    parts = [slice(first, first + batch) for first in range(0, len(images), batch)]

    def part(rows):
        return observed[rows], {name: value[rows] for name, value in conditions.items()}

    restore(*part(parts[0]), 2)  # whatever happens only once, such as tracing
    began = time.perf_counter()
    found = [restore(*part(rows), method.iterations) for rows in parts]
    seconds = time.perf_counter() - began
    latent, restored = (np.concatenate(each) for each in zip(*found))
    objectives = _published_objective(setting, prior)(latent, observed, conditions)
    return {
        "images": len(images),
        "batch": batch,
        "iterations": method.iterations,
        "seconds_per_image": seconds / len(images),
        "objective": float(np.mean(objectives)),
        "psnr": float(np.mean(psnr(restored, images))),
        "objectives": [round(float(value), 4) for value in objectives],
    }


def _published_objective(setting, prior):
    """The objective of the paper's method: what all loops are compared by."""
    method = setting.task.paper
    data = DataFidelity(setting.task.operator, method.p, method.importance_window)
    objective = Objective.of_prior(prior, data, method.weight)

    @tf.function
    def evaluate(z, observed, conditions):
        return objective(z, observed, **conditions)

    return lambda z, observed, conditions: evaluate(
        z, observed, {name: tf.constant(value) for name, value in conditions.items()}
    ).numpy()


def _tensorflow(setting, prior, method):
    @functools.cache
    def make():
        restorer = Restorer(prior, setting.task, method, setting.seed)

        def restore(observed, conditions, iterations):
            restorer.start(observed, **conditions)
            restorer.step(iterations)
            result = restorer.result()
            return result.latent, result.images

        return restore

    return make


def _exported(setting, prior):
    """`default` as a server runs it: the SavedModel's signature."""

    @functools.cache
    def make():
        with tempfile.TemporaryDirectory() as base:
            path = export_savedmodel(prior, base, seed=setting.seed, tasks=[setting.task])
            loaded = tf.saved_model.load(str(path))

        def restore(observed, conditions, iterations):
            del iterations  # fixed in the graph
            given = {name: tf.constant(value) for name, value in conditions.items()}
            signature = loaded.signatures[setting.task.name]
            found = signature(observed=tf.constant(observed), **given)
            return found["latent"].numpy(), found["restored"].numpy()

        return restore

    return make


def _pytorch(setting, prior, bfloat16):
    """The search in PyTorch; what follows it (Poisson blending, ...) is tfgpr's for all."""

    @functools.cache
    def make():
        from tfgpr.benchmark.pytorch import PublishedLoop

        loop = PublishedLoop(prior, setting.task, bfloat16)

        @tf.function
        def finish(z, observed, conditions):
            return setting.task.consistency(prior.generate(z), observed, **conditions)

        def restore(observed, conditions, iterations):
            z0 = ClippedNormal()(prior, None, observed, 1, setting.seed)[:, 0]
            z = loop.search(observed, z0, iterations, **conditions)
            given = {name: tf.constant(value) for name, value in conditions.items()}
            return z, finish(tf.constant(z), tf.constant(observed), given).numpy()

        return restore

    return make


def target(setting, prior, results):
    """How long the search of `default` takes to the objective that each published loop ended with.

    It minimises the published objective, without the discriminator where `default` does without
    it; the start and the steps are its own. Each budget of iterations is a search whose rate
    decays over it. One has arrived where the mean over the loop's images of the published
    objective, discriminator and all, is the loop's own or less. A loop over all images as one
    batch is compared with searches that do the same; one over single images with such searches,
    and with what those images had in the batch.
    """
    published = {
        name: row for name, row in results.rows("loops").items() if name.startswith("paper")
    }
    searches = []
    for budget in setting.budgets:
        method = _search(setting, budget)
        make = _tensorflow(setting, prior, method)
        name = f"search of {budget}"
        searches.append(_both_ways(setting, prior, results, "target", name, method, make))
    for name, row in published.items():

        def compare(row=row):
            modes = (_TOGETHER, _ALONE) if row["batch"] == 1 else (_TOGETHER,)
            arrived = {mode: _arrived(row, [each[mode] for each in searches]) for mode in modes}
            return {"objective": row["objective"], **arrived}

        results.row("target", f"end of {name}", compare)


def _search(setting, budget):
    default = setting.task.default.with_iterations(budget)
    return dataclasses.replace(
        setting.task.paper,
        optimizer=default.optimizer,
        initialization=default.initialization,
        iterations=budget,
        weight=setting.task.paper.weight if default.weight else 0.0,
    )


def _arrived(loop, searches):
    """The fastest search that explains the loop's images as well as it; {} if there is none."""
    count = loop["images"]
    arrived = [
        each for each in searches if np.mean(each["objectives"][:count]) <= loop["objective"]
    ]
    if not arrived:
        return {}
    best = min(arrived, key=lambda each: each["seconds_per_image"])
    return {
        "iterations": best["iterations"],
        "seconds_per_image": best["seconds_per_image"],
        "times_faster": loop["seconds_per_image"] / best["seconds_per_image"],
    }
