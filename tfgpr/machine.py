"""What a computation needs and what the machine gives: FLOPs, matrix products, memory."""

import contextlib
import os
import pathlib
import resource
import time

import keras
import tensorflow as tf


def flops(model):
    """Floating point operations of one image's way through a Keras model.

    Counted from the shapes of its dense and convolutional layers, two for each
    multiplication with its addition; padding counts as if it were image. All else (batch
    norm, activations) is left out: it moves memory rather than computes.
    """
    return sum(map(_layer_flops, model.layers))


def _layer_flops(layer):
    kind = getattr(layer, "layer", layer)  # inside spectral normalisation
    if isinstance(kind, keras.layers.Conv2DTranspose):
        places = layer.input.shape[1] * layer.input.shape[2]
    elif isinstance(kind, keras.layers.Conv2D):
        places = layer.output.shape[1] * layer.output.shape[2]
    elif isinstance(kind, keras.layers.Dense):
        places = 1
    else:
        return 0
    multiplications = places
    for size in kind.kernel.shape:
        multiplications *= int(size)
    return 2 * multiplications


def iteration_flops(prior, method):
    """FLOPs of one step of one search: the networks forward, and back to z at the same cost."""
    networks = flops(prior.generator) + (flops(prior.discriminator) if method.weight else 0)
    return 2 * networks


def fastest(function, seconds=1.0, least=3):
    """The shortest run of `function` in about `seconds`, in seconds; one run before is not
    counted."""
    function()
    times = []
    until = time.perf_counter() + seconds
    while len(times) < least or time.perf_counter() < until:
        began = time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
    return min(times)


def matmul_rate(dtype, size=2048, seconds=2.0):
    """FLOPs per second of a product of two `[size, size]` matrices by TensorFlow.

    Args:
      dtype: "float32" or "bfloat16".
      size: side of the matrices.
      seconds: how long to try; the fastest product counts.
    """
    left, right = (tf.cast(tf.random.stateless_normal([size, size], (0, i)), dtype) for i in (0, 1))
    product = tf.function(lambda: tf.reduce_sum(tf.matmul(left, right)[:1]))
    return 2 * size**3 / fastest(lambda: product().numpy(), seconds)


def reset_peak_memory():
    """Starts a new peak, where the system can (Linux); see `peak_memory`."""
    with contextlib.suppress(OSError):
        pathlib.Path("/proc/self/clear_refs").write_text("5")


def peak_memory():
    """The most memory that this process held at once, in MB, since the last reset."""
    status = pathlib.Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    for line in lines:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1000
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def describe():
    """The machine in words, for the report."""
    model = ""
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].partition(":")[2].strip() if lines else ""
    affinity = getattr(os, "sched_getaffinity", None)
    return {
        "cpu": model,
        "cores": len(affinity(0)) if affinity else os.cpu_count(),
        "gpus": len(tf.config.list_physical_devices("GPU")),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
    }
