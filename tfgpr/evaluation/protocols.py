"""How images are degraded and scored: tfgpr's protocol, and the released code's."""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from tfgpr import consistency, metrics, tasks
from tfgpr.corruptions import Corruption
from tfgpr.operators import BilinearDecimation, Quantize

# Table 1 of the paper: (SSIM, PSNR in dB).
TABLE_1 = {
    "TV": {
        "inpainting": (0.7647, 23.10),
        "super_resolution": (0.6648, 21.05),
        "denoising": (0.7373, 21.97),
        "dequantization": (0.6312, 20.77),
    },
    "LR": {
        "inpainting": (0.6644, 16.98),
        "super_resolution": (0.6754, 21.45),
        "denoising": (0.6178, 18.69),
        "dequantization": (0.6754, 20.65),
    },
    "Sparse": {
        "inpainting": (0.7528, 20.67),
        "super_resolution": (0.6075, 20.82),
        "denoising": (0.8092, 23.63),
        "dequantization": (0.7869, 22.67),
    },
    "the paper's method": {
        "inpainting": (0.8121, 23.60),
        "colorization": (0.8876, 20.85),
        "super_resolution": (0.5626, 19.58),
        "denoising": (0.6161, 19.31),
        "dequantization": (0.6061, 19.77),
    },
}


@dataclasses.dataclass(frozen=True)
class Protocol:
    """What an evaluation does to the images.

    Attributes:
      name: as in `--protocol`.
      note: what a reader of the table has to know.
      tasks: function that makes the `Task`, by name.
      psnr: `psnr(images, reference, where=None)` -> `[batch]`.
    """

    name: str
    note: str
    tasks: dict
    psnr: Callable


def _published_super_resolution(factor=4):
    operator, task = BilinearDecimation(factor), tasks.super_resolution(factor)
    # A sum over factor^2 as many measurements: their weights and rates are scaled back.
    rate = task.paper.optimizer.learning_rate / factor**2
    optimizer = dataclasses.replace(task.paper.optimizer, learning_rate=rate)
    weights = {name: factor**2 * getattr(task, name).weight for name in ("default", "paper")}
    evidence = tasks.rounds_for(operator)
    start = dataclasses.replace(task.default.initialization, evidence=evidence[0])
    return dataclasses.replace(
        task,
        default=dataclasses.replace(task.default, weight=weights["default"], initialization=start),
        paper=dataclasses.replace(task.paper, weight=weights["paper"], optimizer=optimizer),
        operator=operator,
        corruption=Corruption(operator),
        consistency=consistency.BackProjection(operator),
        evidence=evidence,
    )


def _published_denoising(noise_stddev=0.1):
    task = tasks.denoising(noise_stddev)
    return dataclasses.replace(task, corruption=dataclasses.replace(task.corruption, rescaled=True))


def _published_dequantization():
    # Gray values of 0..255 in steps of 55, rounded down, and stretched when saved: a method
    # sees the file, so for it these are the values k/4 of five cells.
    corruption = Corruption(Quantize(255 / 55, floor=True), rescaled=True)
    return dataclasses.replace(tasks.dequantization(4), corruption=corruption)


def _psnr_of_own_maximum(images, reference, where=None):
    peak = tf.reduce_max(tf.convert_to_tensor(reference), axis=[1, 2, 3])
    return metrics.psnr(images, reference, where, peak)


PROTOCOLS = {
    "clean": Protocol(
        "clean",
        "Protocol `clean`: images in [0, 1]; super-resolution from antialiased bicubic, noise not "
        "clipped, dequantization of round(4x)/4; PSNR with peak 1. The paper's rows were "
        "measured under another protocol (`--protocol=published`) and other faces: they cannot "
        "be compared number by number.",
        tasks.TASKS,
        metrics.psnr,
    ),
    "published": Protocol(
        "published",
        "Protocol `published`, after the paper's released code: super-resolution from bilinear "
        "decimation without a low pass (aliased), enlarged again; quantisation by floor (a bias "
        "of half a cell; steps of 55 gray values); noisy and quantised images stretched to their "
        "own minimum and maximum, as they were saved (contrast is lost, no method is told); PSNR "
        "relative to each image's own maximum. All of it lowers the scores. The faces are not "
        "the paper's.",
        {
            **tasks.TASKS,
            "super_resolution": _published_super_resolution,
            "denoising": _published_denoising,
            "dequantization": _published_dequantization,
        },
        _psnr_of_own_maximum,
    ),
}
