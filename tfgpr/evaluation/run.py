"""The run: every method restores the same observations of the same images."""

import functools
import pathlib
import time

import keras
import numpy as np

from tfgpr.baselines import BASELINES
from tfgpr.errors import InputError
from tfgpr.evaluation import methods as all_methods
from tfgpr.evaluation import report
from tfgpr.evaluation.faces import Faces
from tfgpr.evaluation.judge import Judge
from tfgpr.evaluation.methods import METHODS, USE_PRIOR, Learner, can_do
from tfgpr.evaluation.protocols import PROTOCOLS
from tfgpr.evaluation.store import Store
from tfgpr.files import write_json
from tfgpr.images import FACE_CROP, to_uint8
from tfgpr.version import __version__

CHUNK = 64  # images restored at once
EXAMPLES = 8  # images kept for the figure


def evaluate(
    data_dir,
    output,
    tasks=None,
    methods=None,
    num_images=500,
    first=8000,
    protocol="clean",
    prior=None,
    train_dir=None,
    num_train=8000,
    image_size=None,
    crop=FACE_CROP,
    iterations=None,
    cache_dir=None,
    overwrite=False,
):
    """Restores images by several methods, scores them, and writes tables and pictures.

    What is finished in `output` is kept; an interrupted run continues there.

    Args:
      data_dir: folder of images.
      output: folder of the results; see `tfgpr.evaluation.store`.
      tasks: names; None: all five.
      methods: names of `METHODS`; None: all.
      num_images, first: the part of the sorted files, `first` counted from 0.
      protocol: "clean" or "published".
      prior: a `GanPrior`, which "default" and "paper" need.
      train_dir, num_train: what baselines learn from: the first `num_train` files there;
        None: the up to `num_train` files before `first` in `data_dir`.
      image_size: side in pixels; None: the prior's, or 64.
      crop: see `tfgpr.images.crop_and_resize`.
      iterations: of "default" and "paper", for a quick look; None: each method's own.
      cache_dir: where to keep what baselines learn, for several runs; None: in `output`.
      overwrite: throw away results in `output` first.
    Returns:
      `{task: {method: scores}}`, as in results.json.
    Raises:
      InputError: an unknown task, method or protocol; too few images; results of other
        images, another protocol, prior or training set in `output`.
    """
    protocol = PROTOCOLS[_known([protocol], PROTOCOLS, "protocol")[0]]
    tasks = _known(tasks, protocol.tasks, "task")
    methods = _known(methods, METHODS, "method")
    uses_prior = [method for method in methods if method in USE_PRIOR]
    if uses_prior and prior is None:
        raise InputError(f"Expected a prior for {', '.join(uses_prior)}. Received: none.")
    image_size = image_size or (prior.image_size if prior else 64)
    if uses_prior and image_size != prior.image_size:
        raise InputError(
            f"Expected image_size={prior.image_size}, the prior's. Received: {image_size}; leave "
            "it out, or leave out the methods that use the prior."
        )
    faces = Faces.load(data_dir, first, num_images, image_size, crop, train_dir, num_train)
    if any(method in BASELINES and BASELINES[method].learned for method in methods):
        faces.require_training()
    pairs = [
        (protocol.tasks[task](), method)
        for task in tasks
        for method in methods
        if can_do(method, protocol.tasks[task]())
    ]
    if not pairs:
        raise InputError(f"None of {', '.join(methods)} can do {', '.join(tasks)}.")
    settings = {"protocol": protocol.name, **faces.settings(), "seed": 0}
    cache_dir = pathlib.Path(cache_dir or pathlib.Path(output) / "cache")
    run = _Run(protocol, faces, prior if uses_prior else None, iterations, cache_dir)
    made_with = {(task.name, method): run.made_with(task, method) for task, method in pairs}
    store = Store(output, settings, overwrite)
    store.require_made_with(made_with)
    _finish(run, store, pairs, made_with)
    cells = store.cells(protocol.tasks, METHODS)
    inputs = {task: run.observe(protocol.tasks[task](), EXAMPLES)[0] for task in cells}
    floor = store.read("real", "floor")
    report.write(store.path, protocol, settings, cells, floor, inputs)
    return _results(cells)


def _known(names, known, what):
    for name in names or ():
        if name not in known:
            raise InputError(f"Expected a {what} in {', '.join(known)}. Received: {name!r}.")
    return list(dict.fromkeys(names or known))


def _results(cells):
    return {t: {m: cell["scores"] for m, cell in row.items()} for t, row in cells.items()}


def _finish(run, store, pairs, made_with):
    """Works through the pairs that are not finished."""
    todo = [(task, method) for task, method in pairs if store.read(task.name, method) is None]
    if len(todo) < len(pairs):
        print(f"{len(pairs) - len(todo)} of {len(pairs)} results are there already.", flush=True)
    if not todo:
        return
    run.prepare(store)
    for index, (task, method) in enumerate(todo):
        print(f"[{index + 1}/{len(todo)}] {task.name}: {method}", flush=True)
        scores, examples, per_image = run.cell(task, method)
        store.write(task.name, method, scores, made_with[task.name, method], examples, per_image)
        results = _results(store.cells(run.protocol.tasks, METHODS))
        write_json(store.path / "results.json", results)


def _show(bar, first, count, share):
    """Moves a progress bar over images into a chunk of `count` that is done by `share`."""
    if share < 1:  # the whole chunk is reported when its images are there
        bar.update(first + int(share * count))


class _Run:
    """What all cells of a run share."""

    def __init__(self, protocol, faces, prior, iterations, cache_dir):
        self.protocol = protocol
        self.faces = faces
        self.prior = prior
        self.iterations = iterations
        self.training = faces.training_fingerprint()
        self.learner = Learner(cache_dir, faces.image_size, faces.load_training, self.training)
        self.prior_sha256 = {
            method: all_methods.prior_fingerprint(prior, method) for method in USE_PRIOR if prior
        }
        self.clean = faces.images.astype(np.float32) / 255

    def made_with(self, task, method):
        """What a finished cell must have been made with to count."""
        if method in USE_PRIOR:
            search = all_methods.search_settings(method, task, self.iterations)
            return {"tfgpr": __version__, "prior": self.prior_sha256[method], "search": str(search)}
        if method not in all_methods.BASELINES:
            return {}
        baseline = all_methods.BASELINES[method](self.faces.image_size)
        training = self.training if baseline.learned else None
        return {"tfgpr": __version__, "training": training, "weights": str(baseline.settings())}

    def prepare(self, store):
        """The judge, and the scores of the real images themselves: the floor."""
        self.judge = Judge(self.clean, self.faces.reference(), self.protocol)
        if store.read("real", "floor") is None:
            examples = to_uint8(self.clean[:EXAMPLES])
            store.write("real", "floor", self.judge.floor(), {}, examples, {})

    def observe(self, task, count=None):
        """y of the first `count` images (None: all), and the mask or None."""
        observed, conditions = task.observe(self.clean[:count], first=self.faces.first)
        return observed, conditions["known"][:1] if conditions else None

    def cell(self, task, method):
        """(scores, example images, scores per image) of one method at one task."""
        observed, known = self.observe(task)
        restore = all_methods.restorer(
            method, task, known, self.learner, self.prior, self.iterations
        )
        bar = keras.utils.Progbar(len(observed), unit_name="image")
        parts, begun = [], time.perf_counter()
        for first in range(0, len(observed), CHUNK):
            chunk = observed[first : first + CHUNK]
            parts.append(restore(chunk, functools.partial(_show, bar, first, len(chunk))))
            bar.update(first + len(chunk))
        seconds = time.perf_counter() - begun
        images = np.concatenate(parts)
        scores, per_image = self.judge(images, known)
        scores["seconds_per_image"] = seconds / len(images)
        return scores, to_uint8(images[:EXAMPLES]), per_image
