"""The run: section by section, each row kept as soon as it is measured."""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Callable

import numpy as np

from tfgpr import machine
from tfgpr.benchmark import costs, loops, report
from tfgpr.errors import InputError
from tfgpr.evaluation.methods import prior_fingerprint
from tfgpr.files import read_json, write_json
from tfgpr.images import write_png
from tfgpr.version import __version__

SECTIONS = {
    "loops": loops.loops,
    "target": loops.target,
    "rate": costs.rate,
    "scaling": costs.scaling,
    "startup": costs.startup,
    "training": costs.training,
}


@dataclasses.dataclass
class Setting:
    """What every section measures on.

    Attributes:
      load: function from a dtype ("auto", "float32", "mixed_bfloat16") to the `GanPrior`.
      task: a task of `tfgpr.tasks`.
      images: clean images `[count, size, size, 3]` in [0, 1].
      single_images: how many of them one at a time, where all would take too long.
      paper_iterations: steps of the published loop; None: its own 1500. What is measured
        with fewer is reported as it is, never scaled.
      pytorch: whether to run the published loop in PyTorch too.
      seconds: how long to repeat what is measured by its fastest run.
      seed: of the starts and of the noise.
      dtype: of the restorations.
      model_dir: folder of the prior, or None; for the fresh processes of `startup`.
      processes: how many of those; the fastest figures count.
      data_dir: folder of training images for the input pipeline, or None.
      budgets: iterations of the searches of `target`.
      batches, iterations, widths: of `scaling`; the widths of `training` too.
      training_batches: of `training`.
    """

    load: Callable
    task: object
    images: np.ndarray
    single_images: int = 4
    paper_iterations: int | None = None
    pytorch: bool = True
    seconds: float = 2.0
    seed: int = 0
    dtype: str = "auto"
    model_dir: str | None = None
    processes: int = 3
    data_dir: str | None = None
    budgets: tuple = (5, 10, 20, 40, 60, 80, 90, 100, 110, 120, 140, 160, 240, 320, 480, 640)
    batches: tuple = (1, 4, 16, 64, 256)
    iterations: tuple = (20, 40, 80, 160, 320)
    widths: tuple = (32, 64, 128)
    training_batches: tuple = (16, 64)

    def observe(self, images):
        """`(observed, conditions)` of clean images."""
        return self.task.observe(images, self.seed)

    @property
    def single(self):
        """The images that are restored one at a time."""
        return self.images[: self.single_images]

    @property
    def published(self):
        """The published `Method`, with the iterations that are to be run."""
        method = self.task.paper
        return method.with_iterations(self.paper_iterations or method.iterations)


class Results:
    """Rows by section and name, written beside the output after each.

    Args:
      path: the JSON file that the whole run is to become.
      about: what the run is of; an interrupted one continues only if this is the same.
      overwrite: whether to replace `path`.
    Raises:
      InputError: `path` does not end in .json, it or its plot is there already; it was begun
        otherwise.
    """

    def __init__(self, path, about, overwrite=False):
        self.path = pathlib.Path(path)
        if self.path.suffix != ".json":
            raise InputError(f"Expected an output that ends in .json. Received: {path}.")
        for file in (self.path, self.path.with_suffix(".png")):
            if file.exists() and not overwrite:
                raise InputError(
                    f"The file {file} is there already; choose another name, or pass --overwrite."
                )
        self.partial = self.path.with_suffix(".partial.json")
        self.value = {**about, "sections": {}}
        if self.partial.exists():
            begun = read_json(self.partial)
            if {**begun, "sections": {}} != json.loads(json.dumps(self.value)):
                raise InputError(
                    f"{self.partial} was begun with other settings or elsewhere. Repeat its "
                    "flags to continue, or delete it to start anew."
                )
            self.value = begun

    def row(self, section, name, measure):
        """The row `name` of a section: what is there, or else what `measure()` returns."""
        rows = self.value["sections"].setdefault(section, {})
        if name not in rows:
            rows[name] = measure()
            write_json(self.partial, self.value)
            print(f"{section}: {name}: {report.brief(rows[name])}", flush=True)
        return rows[name]

    def rows(self, section):
        """The rows of a section by name, so far."""
        return self.value["sections"].get(section, {})

    def finish(self):
        write_png(self.path.with_suffix(".png"), report.draw(self.value))
        write_json(self.path, self.value)
        self.partial.unlink(missing_ok=True)


def benchmark(setting, output, sections=tuple(SECTIONS), overwrite=False):
    """Measures, and writes `output` (JSON), and a plot beside it (.png).

    Args:
      setting: a `Setting`.
      output: the JSON file. While the run lasts there is a `.partial.json` beside it, from
        which the same call continues.
      sections: names of `SECTIONS`.
      overwrite: replace `output`.
    Returns:
      What the JSON holds, a dict.
    Raises:
      InputError: an unknown section; PyTorch is wanted and absent; see `Results`.
    """
    unknown = set(sections) - set(SECTIONS)
    if unknown or not sections:
        raise InputError(f"Expected sections of {', '.join(SECTIONS)}. Received: {sections}.")
    if "target" in sections and "loops" not in sections:
        raise InputError("Expected the section loops with target: it measures what to reach.")
    if setting.pytorch and "loops" in sections:
        loops.require_pytorch()
    prior = setting.load(setting.dtype)
    about = {
        "tfgpr": __version__,
        "machine": machine.describe(),
        "task": setting.task.name,
        "images": len(setting.images),
        "single_images": len(setting.single),
        "images_sha256": hashlib.sha256(setting.images.tobytes()).hexdigest(),
        "image_size": prior.image_size,
        "prior": prior.architecture,
        "prior_training": prior.training,
        "prior_sha256": prior_fingerprint(prior),
        "dtype": setting.dtype,
        "default": repr(setting.task.default),
        "published": repr(setting.published),
        "published_is_shortened": setting.paper_iterations is not None,
        "seed": setting.seed,
    }
    results = Results(output, about, overwrite)
    for name, measure in SECTIONS.items():  # in this order: target needs loops
        if name in sections:
            measure(setting, prior, results)
    results.finish()
    return results.value
