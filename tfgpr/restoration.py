"""The search: `minimize`, of any objective; `restore`, the whole restoration as a pure function;
`Restorer`, the same for Python, with z in a `tf.Variable`; `Restoration`, the result. The one loop
of them all is `tfgpr.search.advance`.
"""

import dataclasses
import functools
from typing import Any

import numpy as np
import PIL.Image
import tensorflow as tf

from tfgpr.errors import InputError
from tfgpr.images import as_images, labelled_columns
from tfgpr.method import require_count
from tfgpr.objective import DataFidelity, Objective
from tfgpr.search import Search, advance, begin, finish
from tfgpr.total_variation import TotalVariation


def minimize(objective, z0, optimizer, steps, project=tf.identity):
    """Minimises each row's objective over z, and keeps the best z of each row.

    Pure: no state outlives the call, so it may run inside any `tf.function` or SavedModel.

    Args:
      objective: z `[rows, dim]` -> loss `[rows]`; no row may influence another.
      z0: where to start, `[rows, dim]`.
      optimizer: `init` and `update`; see `tfgpr.optimizers`.
      steps: how many, an integer or a scalar tensor.
      project: maps z to where it may be, after each step.
    Returns:
      A `Restoration` with `latent` (the best z), `loss` (its value, `[rows]`) and `trace`
      (the loss at each iterate, `[steps + 1, rows]`).
    """
    search, trace = advance(objective, begin(z0, optimizer), optimizer, steps, project)
    z, loss, trace = finish(objective, search, trace)
    return Restoration(latent=z, loss=loss, trace=trace)


@dataclasses.dataclass
class Restoration:
    """What a restoration found; NumPy arrays from `Restorer`, tensors inside a graph.

    Attributes:
      latent: the best z, `[batch, dim]`; `prior.generate(latent)` is `generated`.
      loss: its objective, `[batch]`.
      trace: the objective at each iterate of the kept start, `[steps + 1, batch]`.
      generated: G(z), `[batch, height, width, 3]` in [0, 1].
      images: the restored images, as large: G(z) + nu made consistent with y.
      observed: y as the search saw it, in the shape that the operator gives.
      samples: with `num_samples=K`, K restorations of each image from different starts,
        `[batch, K, height, width, 3]`; `images` has the one with the lowest loss.
      spread: how far the samples differ, `[batch, height, width]`: their standard deviation
        in units of [0, 1], root mean square over the channels; 0 where there is one only.
    """

    latent: Any
    loss: Any
    trace: Any = None
    generated: Any = None
    images: Any = None
    observed: Any = None
    samples: Any = None
    spread: Any = None

    @classmethod
    def joined(cls, parts):
        """Restorations of several batches as one of all their images."""
        given = {name: [each[name] for each in map(vars, parts)] for name in vars(parts[0])}
        return cls(
            **{
                name: np.concatenate(values, axis=1 if name == "trace" else 0)
                for name, values in given.items()
                if values[0] is not None
            }
        )

    def columns(self, originals=None, rows=None):
        """What a comparison picture shows, for `tfgpr.images.labelled_columns`.

        Args:
          originals: clean images for a last column, where they are known, one for each
            restored: in [0, 1], or uint8.
          rows: only so many images; None: all.
        Raises:
          InputError: another number or size of originals.
        """
        columns = {"G(z)": self.generated, "restored": self.images}
        if self.observed.ndim == 4 and self.observed.shape[-1] in (1, 3):  # else it is no image
            columns = {"observed": self.observed, **columns}
        if originals is not None:
            originals = as_images(originals, "originals")
            if originals.shape != self.images.shape:
                raise InputError(
                    f"Expected originals of shape {self.images.shape}, one for each restored "
                    f"image. Received: shape {originals.shape}."
                )
            columns["original"] = originals
        return {label: images[:rows] for label, images in columns.items()}

    def plot(self, originals=None, scale=2):
        """A comparison picture, a `PIL.Image`: observed, G(z), restored, and the originals.

        Args:
          originals: clean images to show in a last column, where they are known.
          scale: how much larger than the images the picture is.
        """
        return PIL.Image.fromarray(labelled_columns(self.columns(originals), scale))


class _Problem:
    """One task posed to one prior: pure functions of y and its conditions."""

    def __init__(self, prior, task, method):
        self.prior = prior
        self.task = task
        self.method = method = method.for_prior(prior)
        self.data = DataFidelity(task.operator, method.p, method.importance_window)

    def start(self, observed, conditions, seeds):
        """z0 `[batch * samples * starts, dim]`: image by image, sample by sample; one seed for
        each sample, so that a sample does not depend on how many there are. Initializations
        that have `further` start all samples but the first by that."""
        first = self.method.initialization
        further = getattr(first, "further", first)

        def draw(initialization, seed):
            return initialization(
                self.prior, self.data, observed, self.method.starts, seed, **conditions
            )

        def sample(seed):
            if further is first or seeds.shape[0] == 1:
                return draw(first, seed)
            return tf.cond(seed == seeds[0], lambda: draw(first, seed), lambda: draw(further, seed))

        z0 = tf.map_fn(sample, seeds, fn_output_signature=tf.float32)
        z0 = tf.transpose(z0, [1, 0, 2, 3])
        return begin(tf.reshape(z0, [-1, self.prior.latent.dim]), self.method.optimizer)

    def bound(self, prior, z, observed, conditions):
        """The objective of z alone, y and its conditions repeated for every search."""
        objective = Objective.of_prior(prior, self.data, self.method.weight, self.method.terms)
        observed, conditions = _repeated(_per_image(z, observed), observed, conditions)
        return lambda z: objective(z, observed, **conditions)

    def advance(self, search, observed, conditions, steps):
        # Folded out here: once, not in each step of the loop.
        objective = self.bound(self.prior.folded(), search.z, observed, conditions)
        project = self.prior.latent.project
        return advance(objective, search, self.method.optimizer, steps, project)

    def finish(self, search, trace, observed, conditions):
        prior = self.prior.folded()
        objective = self.bound(prior, search.z, observed, conditions)
        z, loss, trace = finish(objective, search, trace)
        rows, loss = _lowest(loss, self.method.starts)
        z, trace = tf.gather(z, rows), tf.gather(trace, rows, axis=1)
        samples = _per_image(z, observed)
        generated = prior.generate(z)
        each, given = _repeated(samples, observed, conditions)
        complete = self._complete(generated, each, given)
        images = self.task.consistency(complete, each, **given)
        best, loss = _lowest(loss, samples)
        images_of = tf.reshape(images, tf.concat([[-1, samples], tf.shape(images)[1:]], axis=0))
        variance = tf.math.reduce_variance(images_of, axis=1)
        return {
            "latent": tf.gather(z, best),
            "loss": loss,
            "trace": tf.gather(trace, best, axis=1),
            "generated": tf.gather(generated, best),
            "images": tf.gather(images, best),
            "samples": images_of,
            "spread": tf.sqrt(tf.reduce_mean(variance, axis=-1)),
        }

    def _complete(self, generated, observed, conditions):
        """G(z) + nu."""
        complete = generated
        if self.method.residual:
            estimate = self.prior.residual or TotalVariation()
            for evidence in self.task.evidence:
                found = evidence(complete, observed, **conditions)
                complete = estimate(found, generated)
            if self.task.evidence:
                complete += self.method.grain * (found.images - complete)
        return complete


def _per_image(z, observed):
    """How many rows of z there are for each image."""
    return tf.shape(z)[0] // tf.shape(observed)[0]


def _repeated(count, observed, conditions):
    """y and its conditions, each row `count` times in a row."""
    conditions = {name: tf.repeat(value, count, axis=0) for name, value in conditions.items()}
    return tf.repeat(observed, count, axis=0), conditions


def _lowest(loss, group):
    """Of each `group` successive rows the one with the lowest loss: its index, its loss."""
    loss = tf.reshape(loss, [-1, group])
    kept = tf.argmin(loss, axis=1, output_type=tf.int32)
    return tf.range(tf.shape(kept)[0]) * group + kept, tf.reduce_min(loss, axis=1)


def _seeds(seed, num_samples):
    """One seed for each sample; the first is `seed` itself."""
    return tf.constant([seed + 1_000_003 * sample for sample in range(num_samples)], tf.int64)


def restore(prior, task, observed, method=None, seed=0, num_samples=1, **conditions):
    """The whole restoration as a pure function of tensors, for graphs and exports.

    Nothing is checked here; `Restorer` does that.

    Args:
      prior: a `GanPrior`.
      task: a task of `tfgpr.tasks`.
      observed: y, `[batch, ...]`.
      method: a `Method`; None: the task's default.
      seed: of the starts.
      num_samples: how many restorations of each image.
      **conditions: those of the task's operator.
    Returns:
      dict of `images`, `generated`, `latent`, `loss`, `trace`, `samples`, `spread`; see
      `Restoration`.
    """
    problem = _Problem(prior, task, method or task.default)
    observed = task.hide(observed, **conditions)
    search = problem.start(observed, conditions, _seeds(seed, num_samples))
    search, trace = problem.advance(search, observed, conditions, problem.method.iterations)
    return problem.finish(search, trace, observed, conditions)


class Restorer:
    """Restores images of one task with one prior.

        face = tfgpr.example_face()               # [1, 64, 64, 3], float32 in [0, 1]
        known = tfgpr.tasks.center_hole(64)       # [1, 64, 64, 1]: 1 observed, 0 in the hole
        restorer = tfgpr.Restorer(tfgpr.load_prior(), tfgpr.tasks.inpainting())
        result = restorer.restore(face * known, known=known)
        result.images                             # [1, 64, 64, 3]; see tfgpr.Restoration
        result.plot(originals=face)               # a PIL.Image

    `known` is for inpainting; the other tasks need the observation alone. More iterations
    explain it by G(z) more closely: `Restorer(prior, task, task.default.with_iterations(50))`.
    Restore many images as one batch, and reuse the `Restorer`: its first call compiles.

    Or step by step: `start`, then `step` as often as wanted, then `result`. `restorer.z`
    holds the latents in between, `[batch * num_samples * starts, dim]` (those of an image one
    after the other); it can be read, and assigned to move the search.

        restorer.start(face * known, known=known)
        losses = restorer.step(20)                # [20, batch * starts]
        result = restorer.result()                # the best so far; `step` may go on

    Args:
      prior: a `GanPrior`: `tfgpr.load_prior()`, or one that you trained.
      task: a task of `tfgpr.tasks`, such as `tfgpr.tasks.inpainting()`, or one of your own
        operator: `tfgpr.tasks.custom`.
      method: a `Method`; None: the task's default. `task.paper` is the published one.
      seed: of the starts. The same start is used whatever else is in the batch.
    """

    def __init__(self, prior, task, method=None, seed=0):
        self.prior = prior
        self.task = task
        self.method = (method or task.default).for_prior(prior)
        self.seed = seed
        self.z = tf.Variable(
            tf.zeros([0, prior.latent.dim]), shape=[None, prior.latent.dim], trainable=False
        )
        self._problem = _Problem(prior, task, self.method)
        self._image_shape = (prior.image_size, prior.image_size, 3)
        self._compile()
        self._search = None

    def _compile(self):
        # Open signatures: no new trace for another batch size, mask or number of samples.
        latent = tf.TensorSpec([None, self.prior.latent.dim])
        state = tf.nest.map_structure(
            lambda tensor: tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype),
            self.method.optimizer.init(tf.zeros([1, self.prior.latent.dim])),
        )
        search = Search(latent, state, latent, tf.TensorSpec([None]))
        observed = tf.TensorSpec([None, *self.task.measured_shape(self._image_shape)])
        conditions = {
            name: tf.TensorSpec([None, *self._image_shape[:2], 1])
            for name in self.task.operator.conditions
        }
        trace = tf.TensorSpec([None, None])
        steps = tf.TensorSpec([], tf.int32)

        def compiled(function, *signature):
            # A partial of its own: TensorFlow takes the methods of several restorers for one
            # function, and warns that it is traced too often.
            return tf.function(functools.partial(function), input_signature=signature)

        seeds = tf.TensorSpec([None], tf.int64)
        self._start = compiled(self._problem.start, observed, conditions, seeds)
        self._advance = compiled(self._problem.advance, search, observed, conditions, steps)
        self._finish = compiled(self._problem.finish, search, trace, observed, conditions)

    def restore(self, observed, progress=None, num_samples=1, batch_size=None, **conditions):
        """Restores observations.

        With `num_samples` above 1 each is restored so many times, from different starts, at so
        many times the cost: where y leaves much open (a hole), there is no single answer.
        Sample k is the same whatever `num_samples` and whatever else is in the batch.

        Args:
          observed: y, `[batch, ...]` or one observation, in [0, 1] (noisy ones may exceed
            it) or uint8, as the task's operator gives it for `prior.image_size` pixels.
          progress: called as `progress(done, iterations)` about twenty times for each batch;
            both count over all batches.
          num_samples: how many restorations of each image.
          batch_size: how many images are searched for at a time, which bounds the memory; None:
            all. `z` and `result` are those of the last batch then.
          **conditions: `known` for inpainting: `[batch or 1, height, width, 1]`, 1 where the
            pixel was observed, 0 in the hole.
        Returns:
          A `Restoration` of NumPy arrays.
        Raises:
          InputError: wrong shape, type or range; NaN; a missing or superfluous condition; a
            mask that is not 0 or 1, or knows all or no pixels; `num_samples` or `batch_size`
            below 1.
        """
        observed, conditions = self.task.check(observed, self._image_shape, **conditions)
        batch_size = len(observed) if batch_size is None else batch_size
        require_count("batch_size", batch_size)
        starts = range(0, len(observed), batch_size)
        total = len(starts) * self.method.iterations
        parts = []
        for first in starts:
            part = {name: value[first : first + batch_size] for name, value in conditions.items()}
            self.start(observed[first : first + batch_size], num_samples, **part)
            before = len(parts) * self.method.iterations

            def report(done, _, before=before):
                progress(before + done, total)

            self.run(report if progress else None)
            parts.append(self.result())
        return parts[0] if len(parts) == 1 else Restoration.joined(parts)

    def start(self, observed, num_samples=1, **conditions):
        """Checks the input and chooses where to start; `z` holds it. Arguments: `restore`."""
        require_count("num_samples", num_samples)
        self._observed, self._conditions = self.task.check(
            observed, self._image_shape, **conditions
        )
        seeds = _seeds(self.seed, int(num_samples))
        self._search = self._start(self._observed, self._conditions, seeds)
        self._trace = []
        self.z.assign(self._search.z)

    def step(self, steps=1):
        """Takes `steps` steps from `z`; returns the losses before each, `[steps, rows]`."""
        self._require_start()
        require_count("steps", steps)
        search = self._search._replace(z=tf.convert_to_tensor(self.z))
        self._search, losses = self._advance(
            search, self._observed, self._conditions, tf.constant(steps, tf.int32)
        )
        self._trace.append(losses)
        self.z.assign(self._search.z)
        return losses.numpy()

    def run(self, progress=None):
        """Takes all iterations of the method from `z`; `progress` as in `restore`."""
        iterations = self.method.iterations
        chunk = iterations if progress is None else max(1, iterations // 20)
        for done in range(0, iterations, chunk):
            self.step(min(chunk, iterations - done))
            if progress is not None:
                progress(min(done + chunk, iterations), iterations)

    def result(self):
        """The `Restoration` of the best z so far."""
        self._require_start()
        rows = self._search.z.shape[0]
        trace = tf.concat([tf.zeros([0, rows]), *self._trace], axis=0)
        search = self._search._replace(z=tf.convert_to_tensor(self.z))
        found = self._finish(search, trace, self._observed, self._conditions)
        arrays = {name: tensor.numpy() for name, tensor in found.items()}
        return Restoration(observed=self._observed.numpy(), **arrays)

    def _require_start(self):
        if self._search is None:
            raise InputError("Nothing is being restored: call start(observed) or restore first.")
