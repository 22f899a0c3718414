"""The paper's five tasks: an operator, a corruption, how to search, and what y is owed.

Each function returns a `Task`, which `tfgpr.Restorer` and the scripts take.

The published settings (`task.paper`) are those of the released code (1500 iterations as in
the paper), converted from its images in [-1, 1] to ours in [0, 1]: half the lambda and twice
the learning rate; for super-resolution also from its enlarged observation to the small one.

The default settings were chosen on held-out training faces (7,501 on); `scripts/ablate.py`
measures them again. An encoder's z is so near that ten steps explain y as well as eighty from the
best of a bank (objective 19.0 and 19.1 in super-resolution); beside nu more steps change nothing,
or little for the worse. The realism term makes the hole of inpainting look a little more real
and gains no PSNR; for the other tasks it gained nothing and is left out, so that the
discriminator is not evaluated. A hinge instead of the square for dequantization (no loss inside
the cell) changed the answer by less than 0.03 dB and is left out.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfgpr import consistency, residual
from tfgpr.consistency import LeastChange, keep
from tfgpr.corruptions import Corruption
from tfgpr.errors import InputError
from tfgpr.images import as_images, as_measurements
from tfgpr.initialization import ClippedNormal, Encoded, Screened
from tfgpr.method import Method
from tfgpr.operators import (
    Downsample,
    Identity,
    Inpainting,
    Luma,
    Operator,
    Quantize,
    Value,
    keeps_mask,
    require_conditions,
)
from tfgpr.optimizers import Adam, NesterovMomentum


@dataclasses.dataclass(frozen=True)
class Task:
    """One inverse problem. `tfgpr.tasks.custom` makes one of any operator.

        task = tfgpr.tasks.denoising(noise_stddev=0.2)
        observed = task.corruption(clean, seed=1)
        restorer = tfgpr.Restorer(tfgpr.load_prior(), task)

    Attributes:
      name: of the task, as in `--task`.
      operator: A, which the search compares through.
      corruption: makes observations from clean images (protocol `clean`).
      consistency: moves G(z) to where it agrees with y; see `tfgpr.consistency`.
      default: the `Method` that tfgpr recommends.
      paper: the published `Method`.
      observed_range: values that an observation may have.
      evidence: what y says of each pixel, functions `(estimate, observed, **conditions)` ->
        `tfgpr.residual.Evidence`, the first of G(z), each further one of the estimate that
        the one before led to; none: nothing is added to G(z).
      settings: the arguments that made one of the paper's: `TASKS[name](**settings)` makes it
        again. None of a task of your own, whatever its name.
    """

    name: str
    operator: Any
    corruption: Corruption
    consistency: Callable
    default: Method
    paper: Method
    observed_range: tuple[float, float] = (0.0, 1.0)
    evidence: tuple[Callable, ...] = ()
    settings: dict | None = dataclasses.field(default=None, compare=False)

    def measured_shape(self, image_shape):
        """Shape of one observation of an image of `image_shape`."""
        conditions = {name: tf.ones([1, *image_shape[:2], 1]) for name in self.operator.conditions}
        return tuple(self.operator(tf.zeros([1, *image_shape]), **conditions).shape[1:])

    def observe(self, images, seed=0, first=0):
        """Observes clean images as the paper's Table 1 does: a mask has its hole in the centre.

        Args:
          images: `[batch, size, size, 3]` in [0, 1], or uint8.
          seed, first: of the noise; see `Corruption`.
        Returns:
          `(observed, conditions)`, NumPy arrays as `tfgpr.Restorer.restore` takes them.
        """
        size, count = np.shape(images)[1], len(images)
        known = np.repeat(center_hole(size), count, axis=0)
        conditions = dict.fromkeys(self.operator.conditions, known)
        return self.corruption(images, seed, first, **conditions).numpy(), conditions

    def hide(self, observed, **conditions):
        """y with what was not observed set to zero, so that nobody can read it."""
        if not keeps_mask(self.operator):
            return observed
        return tf.where(conditions["known"] > 0.5, observed, 0.0)

    def check(self, observed, image_shape, **conditions):
        """Checks an observation and its conditions; returns them as float32 tensors.

        Raises:
          InputError: see `tfgpr.Restorer.restore`.
        """
        require_conditions(self.operator, self.name, conditions)
        shape = self.measured_shape(image_shape)
        remedy = "divide by 255, clip them, or make the task with another noise or observed_range"
        observed = as_measurements(observed, shape, *self.observed_range, remedy=remedy)
        checked = {
            name: _check_mask(value, name, len(observed), image_shape)
            for name, value in conditions.items()
        }
        return self.hide(tf.constant(observed), **checked), checked


def _check_mask(mask, name, batch, image_shape):
    mask = np.asarray(mask)
    height, width = image_shape[:2]
    expected = f"[batch or 1, {height}, {width}, 1]"
    mask = mask[None] if mask.ndim == 3 else mask
    if mask.ndim != 4 or mask.shape[0] not in (1, batch) or mask.shape[1:] != (height, width, 1):
        raise InputError(f"Expected {name} of shape {expected}. Received: shape {mask.shape}.")
    if mask.dtype == bool or (
        np.issubdtype(mask.dtype, np.integer) and np.isin(mask, (0, 1)).all()
    ):
        mask = mask.astype(np.float32)
    mask = as_images(mask, name)
    if not np.isin(mask, (0.0, 1.0)).all():
        raise InputError(
            f"Expected {name} to be 0 (unknown) or 1 (observed) everywhere. Received: values "
            "between; threshold it first."
        )
    share = mask.mean(axis=(1, 2, 3))
    if (share == 1).any():
        raise InputError(
            f"Expected an unknown region in {name}. Received: a mask that knows every pixel, so "
            "nothing is left to restore; 0 marks the hole."
        )
    if (share == 0).any():
        raise InputError(
            f"Expected observed pixels in {name}. Received: a mask that knows none, so any face "
            "would do; 1 marks what was observed."
        )
    return tf.constant(np.broadcast_to(mask, (batch, height, width, 1)))


def center_hole(image_size, hole=None):
    """The paper's mask: 1 but in the central square, `[1, size, size, 1]` float32.

    Args:
      image_size: side of the images in pixels.
      hole: side of the unknown square; None: half of `image_size`.
    """
    hole = image_size // 2 if hole is None else hole
    known = np.ones([1, image_size, image_size, 1], np.float32)
    first = (image_size - hole) // 2
    known[:, first : first + hole, first : first + hole] = 0
    return known


def _paper(learning_rate, weight, **settings):
    return Method(
        optimizer=NesterovMomentum(learning_rate, 0.9),
        iterations=1500,
        initialization=ClippedNormal(),
        weight=weight,
        residual=False,
        **settings,
    )


_UNAIDED = 80  # steps from the best of a bank that explain y as well as 10 from an encoder's z


def _default(weight=0.0, evidence=None, starts=1, **settings):
    iterations = 10 if evidence else _UNAIDED
    return Method(
        optimizer=Adam(0.1, beta_2=0.9, decay_steps=iterations),
        iterations=iterations,
        initialization=Encoded(evidence) if evidence else Screened(),
        unaided=_UNAIDED if evidence else None,
        starts=starts,
        weight=weight,
        **settings,
    )


def inpainting():
    """Fill unknown pixels, given the mask `known`. Ends with Poisson blending."""
    operator = Inpainting()
    return Task(
        "inpainting",
        operator,
        Corruption(operator),
        consistency.poisson_blend,
        default=_default(30.0, residual.known_pixels),
        paper=_paper(0.02, 0.05, importance_window=7),
        evidence=(residual.known_pixels,),
        settings={},
    )


def colorization(value=False):
    """Color a grayscale image `[batch, height, width, 1]`.

    Args:
      value: the image is V of HSV rather than Rec. 601 luma.
    """
    operator = Value() if value else Luma()
    return Task(
        "colorization",
        operator,
        Corruption(operator),
        consistency.scale_value if value else consistency.shift_luma,
        default=_default(0.0, None if value else residual.known_luma),
        paper=_paper(0.02, 0.05),
        evidence=() if value else (residual.known_luma,),
        settings={"value": bool(value)},
    )


def super_resolution(factor=4, method="bicubic"):
    """Enlarge an image that was low-passed and decimated by `factor`.

    Args:
      factor, method: of `tfgpr.operators.Downsample`.
    """
    operator = Downsample(factor, method)
    evidence = residual.LowFrequencies(operator, factor)
    return Task(
        "super_resolution",
        operator,
        Corruption(operator),
        consistency.BackProjection(operator),
        default=_default(0.0, evidence),
        paper=_paper(0.0032, 0.0003),
        observed_range=(-0.25, 1.25),  # bicubic overshoots at edges
        evidence=(evidence,),
        settings={"factor": int(factor), "method": method},
    )


# What 500 held-out training faces have for it: a sliced Wasserstein distance of 20.8 in the place
# of 22.7 (untouched faces: 14.3), for 0.04 dB and .001 of SSIM. A share of .06: 18.2, 0.18 dB.
_GRAIN = 0.03


def _range_with(noise_stddev):
    """Values that an image may have beside noise: ten standard deviations more."""
    return -10.0 * noise_stddev, 1.0 + 10.0 * noise_stddev


def denoising(noise_stddev=0.1):
    """Remove white Gaussian noise.

    Args:
      noise_stddev: its standard deviation in units of [0, 1].
    Raises:
      InputError: it is negative or not finite.
    """
    operator, evidence = Identity(), residual.Noisy(noise_stddev)
    corruption = Corruption(operator, noise_stddev)
    return Task(
        "denoising",
        operator,
        corruption,
        consistency.keep,
        default=_default(0.0, evidence, p=2, grain=_GRAIN),
        paper=_paper(0.0002, 0.015),
        observed_range=_range_with(noise_stddev),
        evidence=(evidence,),
        settings={"noise_stddev": float(noise_stddev)},
    )


def dequantization(steps=4):
    """Undo `round(steps * x) / steps`.

    Args:
      steps: number of intervals of [0, 1].
    Raises:
      InputError: they are no whole number from 1 on.
    """
    corruption = Corruption(Quantize(steps))
    evidence = residual.Noisy(residual.quantization_stddev(steps))
    return Task(
        "dequantization",
        Identity(),
        corruption,
        consistency.ClipToCell(steps),
        default=_default(0.0, evidence, p=2),
        paper=_paper(0.0002, 0.0005),
        evidence=(evidence,),
        settings={"steps": int(steps)},
    )


# Standard deviations of the errors of G(z), and then of less. Chosen on 16 held-out training
# faces: Bayer filter 31.6 dB without nu, 38.3 with; blur of 2 pixels 28.2 and 32.9.
_ROUNDS = (0.15, 0.1, 0.07, 0.05, 0.03)


def custom(name, operator, noise_stddev=0.0, consistency=None, method=None, observed_range=None):
    """A task of your own: any operator, such as a Keras layer that you wrote.

        task = tfgpr.tasks.custom("deblurring", tfgpr.operators.GaussianBlur(2.0))

    Args:
      name: of the task, any word.
      operator: A, a `tfgpr.operators.Operator`.
      noise_stddev: standard deviation of the noise in y, in the units of y.
      consistency: what the answer is owed, see `tfgpr.consistency`; None: `LeastChange` with a
        smoothness of 1 pixel for a linear operator without noise, else `keep`.
      method: a `tfgpr.Method`; None: as for the paper's tasks, p = 2 where there is noise.
      observed_range: values that an observation may have, a pair; others are refused. None: those
        of images, and ten standard deviations of the noise more.
    Returns:
      A `Task`.
    Raises:
      InputError: another kind of layer; a negative noise.
    """
    if not isinstance(operator, Operator):
        raise InputError(
            "Expected a subclass of tfgpr.operators.Operator, whose `linear` and `conditions` a "
            f"restoration must know. Received: {type(operator).__name__}; call it from a "
            "subclass of Operator."
        )
    corruption = Corruption(operator, noise_stddev)
    rounds = rounds_for(operator, noise_stddev) if operator.linear else ()
    if consistency is None:
        consistency = keep if noise_stddev or not rounds else rounds[0].least_change
    return Task(
        name,
        operator,
        corruption,
        consistency,
        default=method or _default(p=2 if noise_stddev else 1),
        paper=_paper(0.02, 0.05),
        observed_range=observed_range or _range_with(noise_stddev),
        evidence=rounds,
    )


def rounds_for(operator, noise_stddev=0.0):
    """`Task.evidence` for any linear operator: rounds of `tfgpr.residual.LeastChanged`.

    Args:
      operator, noise_stddev: of the task.
    """
    # Fewer steps toward noisy measurements, which would take over their noise.
    how = {"iterations": 15} if noise_stddev else {"smoothness": 1.0}
    nearest = LeastChange(operator, **how)
    return tuple(residual.LeastChanged(nearest, stddev) for stddev in _ROUNDS)


TASKS = {
    function.__name__: function
    for function in (inpainting, colorization, super_resolution, denoising, dequantization)
}
