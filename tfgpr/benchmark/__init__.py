"""How fast a restoration is, beside the published loop and beside the machine's limit."""

import sys

from tfgpr.benchmark.run import SECTIONS, benchmark

__all__ = ["SECTIONS", "benchmark"]

# PyTorch's optimizers load Triton where it is installed, which kills a process that has loaded
# TensorFlow before (Triton 3.8, TensorFlow 2.21). On a CPU it does nothing.
sys.modules.setdefault("triton", None)
