"""Methods without a GAN, which a generative prior has to beat. Needs `tfgpr[evaluation]`.

method = baselines.PCA().fit(training_images)
images = method.restore(tfgpr.tasks.super_resolution(), observed)
"""

from tfgpr.baselines.base import Baseline
from tfgpr.baselines.interpolation import Interpolation
from tfgpr.baselines.low_rank import LowRank
from tfgpr.baselines.pca import PCA
from tfgpr.baselines.sparse import Sparse
from tfgpr.baselines.tv import TotalVariation

BASELINES = {each.name: each for each in (Interpolation, TotalVariation, LowRank, Sparse, PCA)}

__all__ = [
    "BASELINES",
    "PCA",
    "Baseline",
    "Interpolation",
    "LowRank",
    "Sparse",
    "TotalVariation",
]
