"""Writes the whole restoration as a SavedModel that TF Serving takes as it is."""

import pathlib

import keras
import numpy as np
import tensorflow as tf

from tfgpr import tasks as all_tasks
from tfgpr.errors import InputError
from tfgpr.files import write_json
from tfgpr.serving import metadata
from tfgpr.serving import module as modules
from tfgpr.serving.versions import new_version
from tfgpr.version import __version__

WARMUP = pathlib.PurePath("assets.extra", "tf_serving_warmup_requests")


def export_savedmodel(
    prior, base, version=None, iterations=None, default_task=None, seed=0, tasks=None
):
    """Exports the restoration of every task with `prior` as one version.

        base/<version>/saved_model.pb, variables/    what a server runs; see tfgpr.serving.module
        base/<version>/assets.extra/                 a warm-up request for every signature
        base/<version>/metadata.json                 what was exported, for people

    Args:
      prior: a `GanPrior`. The export computes in the dtype that it was loaded with.
      base: folder of all versions of this model.
      version: a whole number; None: the next free one.
      iterations: of every task's search; None: each task's default.
      default_task: name of the task that the signature `serving_default` restores; None: the
        first.
      seed: of the starts.
      tasks: tasks of `tfgpr.tasks`; None: the paper's five with their default settings.
    Returns:
      Path of the version's folder.
    Raises:
      InputError: a version that exists; an unknown default task; iterations below 1.
    """
    tasks = tasks or [make() for make in all_tasks.TASKS.values()]
    names = [task.name for task in tasks]
    default_task = default_task or names[0]
    if default_task not in names:
        raise InputError(f"Expected a default task in {names}. Received: {default_task!r}.")
    methods = {task.name: task.default.for_prior(prior) for task in tasks}
    if iterations is not None:
        methods = {name: each.with_iterations(iterations) for name, each in methods.items()}
    with new_version(base, version) as (folder, made):
        module, signatures = modules.build(prior, tasks, methods, default_task, seed)
        tf.saved_model.save(module, str(folder), signatures=signatures)
        _write_warmup(folder / WARMUP, prior, tasks, default_task)
        about = _metadata(prior, tasks, methods, default_task, seed)
        write_json(folder / metadata.FILE, about)
    return made[0]


def _metadata(prior, tasks, methods, default_task, seed):
    layers = [*prior.generator.layers, *prior.discriminator.layers]
    return {
        "tfgpr": __version__,
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "prior": {
            "image_size": prior.image_size,
            "crop": prior.crop,
            "latent": {"law": prior.latent.name, "dim": prior.latent.dim},
            "architecture": prior.architecture,
            "training": prior.training,
        },
        "compute_dtypes": sorted({layer.compute_dtype for layer in layers if layer.weights}),
        "default_task": default_task,
        "seed": seed,
        "tasks": {
            task.name: {
                "iterations": methods[task.name].iterations,
                "method": repr(methods[task.name]),
                "inputs": {
                    name: [-1, *spec.shape[1:]]
                    for name, spec in modules.input_specs(prior, task).items()
                },
                "observed_range": list(task.observed_range),
                "settings": task.settings,
            }
            for task in tasks
        },
    }


def _write_warmup(path, prior, tasks, default_task):
    """One image for each signature: what a server runs before it lets requests in."""
    path.parent.mkdir(parents=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for task in tasks:
            specs = modules.input_specs(prior, task)
            inputs = {name: _example(name, spec.shape[1:]) for name, spec in specs.items()}
            writer.write(_prediction_log(task.name, inputs))
            if modules.are_pictures(specs):
                encoded = {f"{name}_bytes": _png(image) for name, image in inputs.items()}
                writer.write(_prediction_log(task.name + modules.PNG, encoded))
            if task.name == default_task:
                writer.write(_prediction_log(modules.DEFAULT, inputs))
        writer.write(_prediction_log(modules.CROP, {"width": np.ones([1])}))
        writer.write(_prediction_log(modules.SETTINGS, {"row": np.zeros([1], np.float32)}))


def _example(name, shape):
    """A grey image, or a mask that knows its upper half; `[1, *shape]`."""
    image = np.full([1, *shape], 0.5, np.float32)
    if name != "observed":
        image[:] = np.arange(shape[0])[:, None, None] < shape[0] // 2
    return image


def _png(images):
    pixels = tf.cast(tf.round(images * 255.0), tf.uint8)
    return np.array([tf.io.encode_png(image).numpy() for image in pixels], object)


def _prediction_log(signature, inputs):
    """A serialized tensorflow.serving.PredictionLog of one PredictRequest.

    Written field by field, so that exporting does not need the package of TF Serving's
    protocols: PredictionLog.predict_log = 6, PredictLog.request = 1, PredictRequest.model_spec
    = 1 and .inputs = 2 (a map: key = 1, value = 2), ModelSpec.signature_name = 3.
    """
    model_spec = _field(3, signature.encode())
    tensors = [
        _field(1, name.encode()) + _field(2, tf.make_tensor_proto(value).SerializeToString())
        for name, value in inputs.items()
    ]
    request = _field(1, model_spec) + b"".join(_field(2, tensor) for tensor in tensors)
    return _field(6, _field(1, request))


def _field(number, content):
    """A length-delimited field of a protocol buffer."""
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(value):
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])
