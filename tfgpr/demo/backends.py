"""What restores behind the page: a prior in this process, or a server."""

import dataclasses
import functools
import threading
from typing import Any

import numpy as np

from tfgpr import tasks
from tfgpr.errors import InputError
from tfgpr.restoration import Restorer

_COMPILED = 16  # searches kept ready; one for each (task, iterations, restarts, seed)


@dataclasses.dataclass(frozen=True)
class Solutions:
    """Answers to one observation, best first.

    Attributes:
      observed: y, `[1, ...]`.
      images, generated: restored, and G(z); `[solutions, size, size, 3]` in [0, 1].
      loss: the objective of each, `[solutions]`, ascending.
    """

    observed: Any
    images: Any
    generated: Any
    loss: Any

    @classmethod
    def of(cls, result):
        """The solutions in a `Restoration` whose rows all restore one observation."""
        order = np.argsort(result.loss, kind="stable")
        images, generated = result.images[order], result.generated[order]
        return cls(result.observed[:1], images, generated, result.loss[order])


class InProcess:
    """Restores with a prior in this process, one request at a time.

    Args:
      prior: a `GanPrior`.
    """

    searches = True  # iterations, restarts, solutions and the seed can be chosen

    def __init__(self, prior):
        self.prior = prior
        self.face_crop = prior.crop
        self.tasks = tuple(tasks.TASKS)
        self._lock = threading.Lock()  # a Restorer holds the state of its search
        self._restorer = functools.lru_cache(_COMPILED)(self._new_restorer)
        self.task = functools.cache(lambda name: tasks.TASKS[name]())

    def image_size(self, task):
        """Side of the restored images in pixels."""
        del task
        return self.prior.image_size

    def restore(
        self, task, observed, progress, iterations, starts, solutions=1, seed=0, **conditions
    ):
        """Restores one observation several times, from different starts.

        Args:
          task: name of the task.
          observed: y, `[1, ...]`.
          progress: called as `progress(done, iterations)`.
          iterations, starts: see `tfgpr.Method`.
          solutions: how many: the samples of a `Restorer` with `num_samples`.
          seed: of that `Restorer`.
          **conditions: of the task's operator, `[1, ...]`.
        Returns:
          `Solutions`.
        Raises:
          InputError: as `Restorer.restore`.
        """
        for name, value in (("solutions", solutions), ("iterations", iterations)):
            if value != int(value) or value < 1:
                raise InputError(f"Expected {name} as a whole number from 1 on. Received: {value}.")
        with self._lock:
            starter = self._restorer(task, iterations, starts, seed)
            starter.start(observed, solutions, **conditions)
            latents = starter.z.numpy()
            # One search for all of them, as rows that are sorted by their loss, and one
            # compiled loop whatever the seed.
            restorer = self._restorer(task, iterations, starts)
            rows = {name: np.repeat(value, solutions, 0) for name, value in conditions.items()}
            restorer.start(np.repeat(observed, solutions, axis=0), **rows)
            restorer.z.assign(latents)
            restorer.run(progress)
            return Solutions.of(restorer.result())

    def _new_restorer(self, name, iterations, starts, seed=0):
        task = self.task(name)
        method = dataclasses.replace(task.default.with_iterations(iterations), starts=starts)
        return Restorer(self.prior, task, method, seed)


class Served:
    """Restores through a server; the search is as it was exported.

    Args:
      client: a `tfgpr.serving.RestoreClient`.
    Raises:
      InputError: no server answers, or it serves none of the tasks.
    """

    searches = False

    def __init__(self, client):
        self.client = client
        served = client.signatures()
        self.tasks = tuple(name for name in tasks.TASKS if name in served)
        if not self.tasks:
            raise InputError(
                f"Expected a server of some of {', '.join(tasks.TASKS)}. Received: "
                f"{', '.join(sorted(served)) or 'none'} at {client.target}."
            )
        self.face_crop = client.crop()
        self.task = functools.cache(client.task)

    def image_size(self, task):
        """Side of the restored images in pixels."""
        return self.client.image_size(task)

    def restore(self, task, observed, progress, **conditions):
        """Restores one observation; see `InProcess.restore`. One solution.

        Raises:
          InputError: as `RestoreClient.restore`.
        """
        result = self.client.restore(task, observed, **conditions)
        progress(1, 1)
        return Solutions.of(result)
