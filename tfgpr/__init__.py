"""tfgpr: image restoration with generative priors, in TensorFlow and Keras.

prior = tfgpr.load_prior()
result = tfgpr.Restorer(prior, tfgpr.tasks.super_resolution()).restore(observed)
result.plot()
"""

from tfgpr import tasks
from tfgpr.errors import InputError
from tfgpr.images import example_face
from tfgpr.prior import GanPrior, load_prior
from tfgpr.restoration import Method, Restoration, Restorer
from tfgpr.version import __version__

__all__ = [
    "GanPrior",
    "InputError",
    "Method",
    "Restoration",
    "Restorer",
    "__version__",
    "example_face",
    "load_prior",
    "tasks",
]
