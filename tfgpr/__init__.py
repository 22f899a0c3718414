"""tfgpr: image restoration with generative priors, in TensorFlow and Keras.

    import tfgpr

    prior = tfgpr.load_prior()              # 64x64 faces, shipped with the package
    task = tfgpr.tasks.super_resolution()   # or inpainting, colorization, denoising, ...
    observed = task.corruption(tfgpr.example_face())
    result = tfgpr.Restorer(prior, task).restore(observed)
    result.plot(originals=tfgpr.example_face())

Where to look next:

    tfgpr.Restorer        restores; `help(tfgpr.Restorer)` tells of stepping and masks
    tfgpr.tasks           the problems; `tasks.custom` makes one of any operator
    tfgpr.operators       measurement operators A, and the base class of your own
    tfgpr.Method          how the latent space is searched
    tfgpr.GAN             trains a generator and a discriminator
    tfgpr.GanPrior        what they become: save, load, any pair of Keras models
    tfgpr.images          files, ranges, crops, pictures
    tfgpr.data            folders of images, and tf.data pipelines of them
    tfgpr.metrics         PSNR and SSIM
    tfgpr.serving         the export for TensorFlow Serving, and its client

Images are float32 `[batch, height, width, channels]` in [0, 1] everywhere. A mistake in
what you pass raises `tfgpr.InputError`, which says what was expected and what to do.
"""

from tfgpr import (
    consistency,
    data,
    images,
    latent,
    metrics,
    networks,
    operators,
    optimizers,
    serving,
    tasks,
)
from tfgpr.errors import InputError
from tfgpr.gan import GAN
from tfgpr.images import example_face
from tfgpr.method import Method
from tfgpr.prior import GanPrior, load_prior
from tfgpr.restoration import Restoration, Restorer
from tfgpr.tasks import Task
from tfgpr.version import __version__

__all__ = [
    "GAN",
    "GanPrior",
    "InputError",
    "Method",
    "Restoration",
    "Restorer",
    "Task",
    "__version__",
    "consistency",
    "data",
    "example_face",
    "images",
    "latent",
    "load_prior",
    "metrics",
    "networks",
    "operators",
    "optimizers",
    "serving",
    "tasks",
]
