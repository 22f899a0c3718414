"""The methods that are compared, behind one call: observations in, images out."""

import hashlib

import numpy as np

from tfgpr.baselines import BASELINES
from tfgpr.restoration import Restorer

METHODS = ("observed", *BASELINES, "default", "paper")  # in the order of the table
USE_PRIOR = ("default", "paper")


def can_do(name, task):
    """Whether method `name` makes sense for a task; the input alone where it is an image."""
    if name == "observed":
        shape = (64, 64, 3)
        return task.measured_shape(shape) == shape and not task.operator.conditions
    return name in USE_PRIOR or task.name in BASELINES[name].tasks


def prior_fingerprint(prior, method="default"):
    """SHA-256 of what a method takes of a `GanPrior`: its latent law and its weights.

    Args:
      prior: the `GanPrior`.
      method: "paper", which uses G and D alone, or any other name: nu and the encoder count.
    """
    networks = {"generator": prior.generator, "discriminator": prior.discriminator}
    if method != "paper":
        parts = {"residual": prior.residual, "encoder": prior.encoder}
        networks.update({name: part.network for name, part in parts.items() if part})
    digest = hashlib.sha256(f"{prior.latent.name} {prior.latent.dim}".encode())
    for name, network in networks.items():
        digest.update(name.encode())
        for weight in network.get_weights():
            digest.update(np.ascontiguousarray(weight, np.float32).tobytes())
    return digest.hexdigest()


def search_settings(name, task, iterations=None):
    """The `Method` of "default" or "paper", with another number of iterations if given."""
    method = task.default if name == "default" else task.paper
    return method if iterations is None else method.with_iterations(iterations)


class Learner:
    """Fits each baseline once, and keeps what it learned in a folder.

    Args:
      folder: of the cache; None: nothing is kept.
      image_size: side of the images.
      load_images: function without arguments that returns the training images, uint8.
      fingerprint: of those images.
    """

    def __init__(self, folder, image_size, load_images, fingerprint):
        self.folder = folder
        self.image_size = image_size
        self.load_images = load_images
        self.fingerprint = fingerprint
        self._fitted = {}

    def __call__(self, name):
        """The fitted baseline of that name."""
        if name not in self._fitted:
            self._fitted[name] = self._fit(BASELINES[name](self.image_size))
        return self._fitted[name]

    def _fit(self, baseline):
        file = self.folder and self.folder / f"{baseline.name}.npz"
        if not baseline.learned or (file and baseline.load(file, self.fingerprint)):
            return baseline
        images = self.load_images()
        print(f"{baseline.name} learns from {len(images)} training images ...", flush=True)
        baseline.fit(images)
        if file:
            baseline.save(file, self.fingerprint)
        return baseline


def restorer(name, task, known, learner, prior, iterations):
    """`function(observed, progress)` -> images, ready to run: compiled, fitted.

    `progress` is called now and then with the share that is done, from 0 to 1.

    Args:
      name: one of `METHODS`.
      task: a task of `tfgpr.tasks`.
      known: the mask of inpainting `[1, size, size, 1]`, or None.
      learner: a `Learner`.
      prior: a `GanPrior`, or None where the method needs none.
      iterations: see `search_settings`.
    """
    if name == "observed":
        return lambda observed, progress: np.clip(observed, 0, 1)
    if name in BASELINES:
        baseline = learner(name)
        return lambda observed, progress: baseline.restore(task, observed, known)
    search = Restorer(prior, task, search_settings(name, task, iterations))
    conditions = {} if known is None else {"known": known}
    shape = task.measured_shape((prior.image_size, prior.image_size, 3))
    search.start(np.full([1, *shape], 0.5, np.float32), **conditions)
    search.step(1)
    search.result()  # compiled now, so that the clock measures the search alone

    def restore(observed, progress):
        def report(done, total):
            progress(done / total)

        return search.restore(observed, report, **conditions).images

    return restore
