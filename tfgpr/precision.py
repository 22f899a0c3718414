"""Which dtype the networks compute in on this machine."""

import pathlib

import numpy as np
import tensorflow as tf

from tfgpr.errors import InputError

DTYPES = ("auto", "float32", "mixed_bfloat16")


def _cpu_has_bfloat16():
    try:
        return "avx512_bf16" in pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


def resolve(dtype="auto"):
    """A Keras dtype policy from one of `DTYPES`.

    "auto" is mixed_bfloat16 on a CPU with AVX512_BF16 (its convolutions are about twice as
    fast there; elsewhere they are slower), float32 on others and where there is a GPU.

    Raises:
      InputError: an unknown name.
    """
    if dtype not in DTYPES:
        raise InputError(f"Expected a dtype in {DTYPES}. Received: {dtype!r}.")
    if dtype != "auto":
        return dtype
    on_cpu = not tf.config.list_physical_devices("GPU")
    return "mixed_bfloat16" if on_cpu and _cpu_has_bfloat16() else "float32"


def policy_of(model):
    """The policy that a network computes by: "float32" or "mixed_bfloat16"."""
    dtypes = {layer.compute_dtype for layer in model.layers if layer.weights}
    return "mixed_bfloat16" if "bfloat16" in dtypes else "float32"


def half(weight):
    """A weight as files keep it: float16, or float32 where that cannot hold its range.

    A moving variance of batch norm can outgrow float16's 65,504; as infinity it would switch its
    channel off.
    """
    fits = np.abs(weight).max(initial=0) <= np.finfo(np.float16).max
    return weight.astype(np.float16 if fits else np.float32)
