"""The published loop and tfgpr's own: seconds per image, objective reached, PSNR.

`loops` runs each on the same observations from the same starts; `target` asks when tfgpr's
search has reached what the published loop ended with.
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
        for images, batch in ((setting.images, len(setting.images)), (setting.single, 1)):

            def measure(method=method, make=make, images=images, batch=batch):
                return _measure(setting, prior, method, make(), images, batch)

            results.row("loops", f"{name}, {_ALONE if batch == 1 else _TOGETHER}", measure)


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
    """How long the search of `default` takes to the objective that the published loop ended with.

    It minimises the published objective, without the discriminator where `default` does without
    it; the start and the steps are its own. Each budget of iterations is a search whose rate
    decays over it. One has arrived where the mean over all images of the published objective,
    discriminator and all, is the published loop's final mean or less.
    """
    ended = results.rows("loops")
    searches = [_search(setting, prior, budget) for budget in setting.budgets]
    evaluate = _published_objective(setting, prior)
    for mode, images in ((_TOGETHER, setting.images), (_ALONE, setting.single)):
        rows = {name: row for name, row in ended.items() if name.startswith("paper")}
        rows = {name: row for name, row in rows.items() if name.endswith(mode)}

        def measure(mode=mode, images=images, rows=rows):
            batch = len(images) if mode == _TOGETHER else 1
            wanted = rows[f"paper, TensorFlow, {mode}"]["objective"]
            tried = [_reach(setting, each, evaluate, images, batch) for each in searches]
            arrived = [each for each in tried if each["objective"] <= wanted]
            best = min(arrived, key=lambda each: each["seconds_per_image"], default=None)
            ratios = {}
            if best is not None:
                for name, row in rows.items():
                    ratios[name] = row["seconds_per_image"] / best["seconds_per_image"]
            return {"objective": wanted, "tried": tried, "best": best, "times_faster_than": ratios}

        results.row("target", mode, measure)


def _search(setting, prior, budget):
    default = setting.task.default.with_iterations(budget)
    method = dataclasses.replace(
        setting.task.paper,
        optimizer=default.optimizer,
        initialization=default.initialization,
        iterations=budget,
        weight=setting.task.paper.weight if default.weight else 0.0,
    )
    return Restorer(prior, setting.task, method, setting.seed)


def _reach(setting, restorer, evaluate, images, batch):
    budget = restorer.method.iterations
    observed, conditions = setting.observe(images)

    def search(rows, steps):
        given = {name: value[rows] for name, value in conditions.items()}
        began = time.perf_counter()
        restorer.start(observed[rows], **given)
        restorer.step(steps)
        return time.perf_counter() - began, evaluate(
            restorer.result().latent, observed[rows], given
        )

    search(slice(0, batch), 2)  # traced
    parts = [slice(first, first + batch) for first in range(0, len(images), batch)]
    seconds, objectives = zip(*(search(rows, budget) for rows in parts))
    return {
        "iterations": budget,
        "seconds_per_image": sum(seconds) / len(images),
        "objective": float(np.mean(np.concatenate(objectives))),
    }
