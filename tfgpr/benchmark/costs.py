"""What a restoration costs: per iteration, by batch, iterations and width; memory; start-up;
and what training costs."""

import dataclasses
import itertools
import json
import os
import pathlib
import subprocess
import sys
import time

import numpy as np
import tensorflow as tf

from tfgpr import data, machine, precision
from tfgpr.gan import GAN
from tfgpr.prior import GanPrior
from tfgpr.restoration import Restorer
from tfgpr.training_speed import step_seconds

_STEPS = 10  # iterations per timed call
_RATE_BATCH = 64


def _dtypes(setting):
    """The dtypes worth measuring: float32, and bfloat16 where "auto" would choose it."""
    automatic = precision.policy_of(setting.load("auto").generator)
    wanted = precision.policy_of(setting.load(setting.dtype).generator)
    return [d for d in ("float32", "mixed_bfloat16") if d in ("float32", automatic, wanted)]


def _images(setting, count):
    """`count` images: those of the setting, repeated as often as needed."""
    return np.resize(setting.images, (count, *setting.images.shape[1:]))


def _step_seconds(setting, restorer, batch):
    """Seconds of one iteration of a batch, each image with all its starts."""
    observed, conditions = setting.observe(_images(setting, batch))
    restorer.start(observed, **conditions)
    return machine.fastest(lambda: restorer.step(_STEPS), setting.seconds) / _STEPS


def rate(setting, prior, results):
    """Milliseconds per image and iteration, and the share of the machine's limit: FLOPs per
    second of the loop over those of a matrix product of the same dtype."""
    method = dataclasses.replace(setting.task.default, starts=1)
    for dtype in _dtypes(setting):

        def measure(dtype=dtype):
            loaded = setting.load(dtype)
            restorer = Restorer(loaded, setting.task, method, setting.seed)
            product = dtype.removeprefix("mixed_")
            before = machine.matmul_rate(product, seconds=setting.seconds)
            seconds = _step_seconds(setting, restorer, _RATE_BATCH) / _RATE_BATCH
            limit = max(before, machine.matmul_rate(product, seconds=setting.seconds))
            flops = machine.iteration_flops(loaded, method)
            return {
                "batch": _RATE_BATCH,
                "ms_per_image_iteration": 1e3 * seconds,
                "flops_per_image_iteration": flops,
                "flops_per_second": flops / seconds,
                "matmul_flops_per_second": limit,
                "share_of_limit": flops / seconds / limit,
            }

        results.row("rate", dtype, measure)


def scaling(setting, prior, results):
    """How seconds and memory grow with the batch, the iterations and the generator's width."""
    method = setting.task.default
    restorer = Restorer(prior, setting.task, method, setting.seed)
    for batch in setting.batches:

        def measure_batch(batch=batch):
            machine.reset_peak_memory()
            seconds = _step_seconds(setting, restorer, batch)
            return {
                "batch": batch,
                "iterations": _STEPS,
                "ms_per_iteration": 1e3 * seconds,
                "ms_per_image_iteration": 1e3 * seconds / batch,
                "peak_memory_mb": machine.peak_memory(),
            }

        results.row("scaling", f"batch {batch}", measure_batch)
    for iterations in setting.iterations:

        def measure_iterations(iterations=iterations):
            restore = _whole(setting, prior, method.with_iterations(iterations), 1)
            seconds = machine.fastest(restore, setting.seconds)
            return {"batch": 1, "iterations": iterations, "seconds_per_image": seconds}

        results.row("scaling", f"iterations {iterations}", measure_iterations)
    for width in setting.widths if prior.architecture else ():

        def measure_width(width=width):
            wide = _untrained(prior, width, precision.policy_of(prior.generator))
            searches = Restorer(wide, setting.task, method, setting.seed)
            seconds = _step_seconds(setting, searches, 16) / 16
            return {
                "base_channels": width,
                "batch": 16,
                "ms_per_image_iteration": 1e3 * seconds,
                "flops_per_image_iteration": machine.iteration_flops(wide, method),
            }

        results.row("scaling", f"base_channels {width}", measure_width)


def _whole(setting, prior, method, batch):
    restorer = Restorer(prior, setting.task, method, setting.seed)
    observed, conditions = setting.observe(_images(setting, batch))
    return lambda: restorer.restore(observed, **conditions)


def _untrained(prior, width, dtype):
    """Networks of the prior's kind with another `base_channels`: the work is the same as
    with trained weights."""
    generator, discriminator = prior.architecture["generator"], prior.architecture["discriminator"]
    ratio = discriminator.get("base_channels", 128) / generator.get("base_channels", 128)
    return GanPrior.dcgan(
        {**generator, "base_channels": width},
        {**discriminator, "base_channels": max(1, round(ratio * width))},
        prior.latent.name,
        prior.crop,
        dtype,
    )


def startup(setting, prior, results):
    """Seconds of a fresh process until its first restoration of one image, part by part."""

    def measure():
        arguments = json.dumps([setting.task.name, setting.model_dir, setting.dtype])
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        program = pathlib.Path(__file__).with_name("fresh.py").read_text()
        command = [sys.executable, "-c", program, arguments]
        runs = []
        for _ in range(setting.processes):
            done = subprocess.run(
                command, capture_output=True, text=True, check=True, env=environment
            )
            runs.append(json.loads(done.stdout.splitlines()[-1]))
        return {name: min(run[name] for run in runs) for name in runs[0]}

    results.row("startup", "fresh process", measure)


def training(setting, prior, results):
    """Images per second of the training step, and the input pipeline's beside it."""
    if not prior.architecture:
        return
    for dtype in _dtypes(setting):
        for width in setting.widths:
            for batch in setting.training_batches:

                def measure(dtype=dtype, width=width, batch=batch):
                    return _train(setting, prior, dtype, width, batch)

                results.row("training", f"{dtype}, base_channels {width}, batch {batch}", measure)
    if setting.data_dir is not None:
        results.row("training", "input pipeline alone", lambda: _pipeline(setting, prior))


def _train(setting, prior, dtype, width, batch):
    networks = _untrained(prior, width, dtype)
    gan = GAN(networks.generator, networks.discriminator, networks.latent.name)
    gan.compile()
    images = itertools.repeat(tf.constant(_images(setting, batch)))
    seconds = step_seconds(gan, images, setting.seconds)
    return {"steps": gan.r1_interval, "images_per_second": batch / seconds}


def _pipeline(setting, prior):
    folder = data.FolderImages(setting.data_dir, prior.image_size, prior.crop, count=2000)
    count = len(folder.files)
    began = time.perf_counter()
    read = sum(1 for _ in folder.dataset())
    first = time.perf_counter() - began
    batches = iter(data.training_batches(folder.dataset(), count, batch_size=min(64, count)))
    for _ in range(-(-count // 64) + 1):  # read, and kept in memory from here on
        next(batches)
    began = time.perf_counter()
    for _ in range(20):
        next(batches)
    seconds = time.perf_counter() - began
    return {
        "images": read,
        "first_epoch_images_per_second": read / first,
        "later_images_per_second": 20 * min(64, count) / seconds,
    }
