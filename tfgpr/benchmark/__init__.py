"""How fast a restoration is, beside the published loop and beside the machine's limit."""

from tfgpr.benchmark.run import SECTIONS, benchmark

__all__ = ["SECTIONS", "benchmark"]
