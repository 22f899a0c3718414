"""`Method`: how the latent space is searched."""

import dataclasses
import math
import numbers
from typing import Any

from tfgpr.errors import InputError
from tfgpr.initialization import Encoded, Screened
from tfgpr.optimizers import Adam


def require_count(name, value):
    """Raises InputError unless `value` is a whole number from 1 on."""
    if not isinstance(value, numbers.Integral) or value < 1:
        raise InputError(f"Expected {name} as a whole number from 1 on. Received: {value!r}.")


@dataclasses.dataclass(frozen=True)
class Method:
    """How the latent space is searched.

        method = tfgpr.tasks.denoising().default                   # what is recommended
        method = method.with_iterations(500)
        method = dataclasses.replace(method, starts=4, weight=1.0)
        method = tfgpr.Method(tfgpr.optimizers.Adam(0.1), iterations=500)

    Attributes:
      optimizer: an update rule of `tfgpr.optimizers`.
      iterations: steps of the optimizer.
      initialization: where to start; see `tfgpr.initialization`.
      starts: searches per image, of which the one with the lowest loss is kept.
      weight: lambda of the prior's terms, relative to a sum over measurements in [0, 1].
      p: norm of the data term, 1 or 2.
      importance_window: see `tfgpr.objective.DataFidelity`.
      residual: add nu, what the generator cannot draw, where the task says what it has evidence
        of; see `tfgpr.residual`, and `tfgpr.total_variation` for priors that have not learned it.
      grain: share of what nu took from its evidence of x that the answer keeps, in [0, 1]: a
        posterior mean has less texture than a photo has.
      terms: further terms of the objective, pairs `(weight, term)` with
        `term(z, images) -> [batch]`; see `tfgpr.objective`.
      unaided: iterations where the prior has no encoder to start from; None: `iterations`.
    Raises:
      InputError: `iterations` or `starts` is not a whole number from 1 on, there are
        more starts than a bank to choose from has, `weight` is not finite, or `grain` no share.
    """

    optimizer: Any = Adam(0.1)
    iterations: int = 200
    initialization: Any = Screened()
    starts: int = 1
    weight: float = 0.0
    p: int = 1
    importance_window: int | None = None
    residual: bool = True
    grain: float = 0.0
    terms: tuple = ()
    unaided: int | None = None

    def __post_init__(self):
        for name in ("iterations", "starts"):
            require_count(name, getattr(self, name))
        bank = getattr(self.initialization, "bank", self.starts)
        if self.starts > bank:
            raise InputError(
                f"Expected no more starts than a bank of {bank} has. Received: {self.starts}; "
                "choose fewer, or Screened(bank=...)."
            )
        if not math.isfinite(self.weight):
            raise InputError(f"Expected a finite weight. Received: {self.weight!r}.")
        if not 0 <= self.grain <= 1:
            raise InputError(f"Expected grain as a share, in [0, 1]. Received: {self.grain!r}.")

    def with_iterations(self, iterations):
        """The same method with another number of iterations, and its rate's decay with it."""
        optimizer = self.optimizer
        if getattr(optimizer, "decay_steps", None) is not None:
            optimizer = dataclasses.replace(optimizer, decay_steps=iterations)
        return dataclasses.replace(self, iterations=iterations, optimizer=optimizer, unaided=None)

    def for_prior(self, prior):
        """What this is for a prior: without an encoder the search starts elsewhere, and may
        take longer."""
        if prior.encoder is not None or not isinstance(self.initialization, Encoded):
            return self
        longer = self.with_iterations(self.unaided or self.iterations)
        return dataclasses.replace(longer, initialization=self.initialization.without)
