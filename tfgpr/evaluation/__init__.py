"""The paper's Table 1 and Fig. 3 on any images: `evaluate`. Needs `tfgpr[evaluation]`."""

from tfgpr.evaluation.methods import METHODS
from tfgpr.evaluation.protocols import PROTOCOLS
from tfgpr.evaluation.run import evaluate

__all__ = ["METHODS", "PROTOCOLS", "evaluate"]
