"""The exported module: the whole restoration of every task as SavedModel signatures.

A signature `<task>` takes `observed` (and `known`, for inpainting) as float32 and gives

    restored   [batch, height, width, 3] in [0, 1]
    generated  [batch, height, width, 3] in [0, 1]: G(z)
    latent     [batch, dim]: z
    loss       [batch]

`<task>_png` takes `observed_bytes` and `known_bytes`, `[batch]` strings that are PNG files,
and gives `restored_bytes` and `generated_bytes` the same way; REST sends what is called
`*_bytes` as base64. Eight bits hold 0..1 only: what a noisy observation has beyond is lost. A
task whose measurements are no pictures has no such signature.

`prior_crop` takes `width` `[batch]` (float64) of photographs and gives `side` `[batch]` of the
square that the prior's crop cuts from each, 0 for a prior of whole images. So a client knows
from the server how to cut, and a width of 1 is answered by `GanPrior.crop` exactly.

`task_settings` takes `row` `[batch]` (any float32) and gives `settings` `[batch]`, each the same
JSON object: the arguments that each task was made with, such as `{"denoising": {"noise_stddev":
0.1}}`. So a client knows from the server how to observe.

Each signature is a pure function of its inputs: it holds no variable but the networks'
weights, and no row of a batch looks at another. Inputs are checked in the graph; a bad one
fails the request with INVALID_ARGUMENT and a message that names it.
"""

import json
import struct

import tensorflow as tf

from tfgpr.images import ROUNDING
from tfgpr.restoration import restore

DEFAULT = "serving_default"
PNG = "_png"
CROP = "prior_crop"
SETTINGS = "task_settings"
_OUTPUTS = {"restored": "images", "generated": "generated", "latent": "latent", "loss": "loss"}


def build(prior, tasks, methods, default_task, seed=0):
    """The module to save and its signatures.

    Args:
      prior: a `GanPrior`.
      tasks: tasks of `tfgpr.tasks`.
      methods: dict from the name of each task to its `Method`.
      default_task: name of the task that `serving_default` restores.
      seed: of the starts.
    Returns:
      `(module, signatures)` for `tf.saved_model.save`: a `tf.Module` that tracks the weights
      that any signature reads, each once, and a dict of concrete functions.
    """
    signatures = {}
    for task in tasks:
        specs = input_specs(prior, task)
        function = _restoration(prior, task, methods[task.name], seed, specs)
        signatures[task.name] = function.get_concrete_function(**specs)
        if not are_pictures(specs):
            continue
        encoded = {
            f"{name}_bytes": tf.TensorSpec([None], tf.string, f"{name}_bytes") for name in specs
        }
        signatures[task.name + PNG] = _of_png(function, specs).get_concrete_function(**encoded)
    signatures[DEFAULT] = signatures[default_task]
    # These have an input too, and the batch first: a server that merges requests takes no others.
    signatures[CROP] = _crop(prior)
    signatures[SETTINGS] = _settings(tasks)
    module = tf.Module()
    # By an explicit list: a Session cannot find the variables of a Keras 3 model hung on a
    # tf.Module, and the layers of a Keras 2 model would drag their own functions along.
    read = {id(variable): variable for each in signatures.values() for variable in each.variables}
    module.weights = list(read.values())
    return module, signatures


def are_pictures(specs):
    """Whether every input can be a PNG file, gray or RGB."""
    return all(spec.shape.rank == 4 and spec.shape[-1] in (1, 3) for spec in specs.values())


def input_specs(prior, task):
    """The `tf.TensorSpec`s of a task's inputs by name: `observed`, then its conditions."""
    size = prior.image_size
    shapes = {"observed": task.measured_shape((size, size, 3))}
    shapes.update(dict.fromkeys(task.operator.conditions, (size, size, 1)))
    return {name: tf.TensorSpec([None, *shape], tf.float32, name) for name, shape in shapes.items()}


def _restoration(prior, task, method, seed, specs):
    def restoration(**inputs):
        conditions = _checked(task, inputs, specs)
        observed = conditions.pop("observed")
        found = restore(prior, task, observed, method, seed, **conditions)
        return {name: tf.identity(found[key], name) for name, key in _OUTPUTS.items()}

    return tf.function(restoration)


def _crop(prior):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.float64, "width")])
    def crop(width):
        return {"side": tf.multiply(width, prior.crop or 0.0, "side")}

    return crop.get_concrete_function()


def _settings(tasks):
    told = json.dumps({task.name: task.settings for task in tasks})

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "row")])
    def settings(row):
        return {"settings": tf.fill(tf.shape(row), told, "settings")}

    return settings.get_concrete_function()


def _checked(task, inputs, specs):
    """The inputs, as tensors that exist only once they have passed every check.

    What rounding adds to a range is taken and clipped, as `tfgpr.images.as_values` does.
    """
    # A C++ Session does not compare what it is fed with the signature's shape.
    inputs = {
        name: tf.ensure_shape(tensor, specs[name].shape, name=f"{name}_shape")
        for name, tensor in inputs.items()
    }
    batch = tf.shape(inputs["observed"])[0]
    checks = [tf.debugging.Assert(batch > 0, ["Expected observed with at least one image."])]
    clipped = {}
    for name, tensor in inputs.items():
        low, high = task.observed_range if name == "observed" else (0.0, 1.0)
        checks += _in_range(name, tensor, low, high)
        clipped[name] = tf.clip_by_value(tensor, low, high)
    for name in task.operator.conditions:
        rows = tf.shape(inputs[name])[0]
        one_each = f"Expected {name} with one mask for each image of observed. Received: masks, "
        checks.append(tf.debugging.Assert(rows == batch, [one_each + "images:", rows, batch]))
        checks += _binary(name, clipped[name])
    with tf.control_dependencies(checks):
        return {name: tf.identity(tensor) for name, tensor in clipped.items()}


def _in_range(name, tensor, low, high):
    least, most = tf.reduce_min(tensor), tf.reduce_max(tensor)
    return [
        tf.debugging.Assert(
            tf.reduce_all(tf.math.is_finite(tensor)),
            [f"Expected finite {name}. Received: NaN or infinite values."],
        ),
        tf.debugging.Assert(
            (least >= low - ROUNDING) & (most <= high + ROUNDING),
            [f"Expected {name} from {low:g} to {high:g}. Received: values from, to:", least, most],
        ),
    ]


def _binary(name, mask):
    share = tf.reduce_mean(mask, axis=[1, 2, 3])
    return [
        tf.debugging.Assert(
            tf.reduce_all((mask == 0) | (mask == 1)),
            [f"Expected {name} to be 0 (unknown) or 1 (observed) everywhere."],
        ),
        tf.debugging.Assert(
            tf.reduce_all(share < 1),
            [f"Expected an unknown region in {name}. Received: a mask that knows every pixel."],
        ),
        tf.debugging.Assert(
            tf.reduce_all(share > 0),
            [f"Expected observed pixels in {name}. Received: a mask that knows none."],
        ),
    ]


def _of_png(function, specs):
    def of_png(**inputs):
        images = {name: _decode_png(inputs[f"{name}_bytes"], specs[name]) for name in specs}
        found = function(**images)
        encoded = {f"{name}_bytes": _encode_png(found[name]) for name in ("restored", "generated")}
        rest = {name: found[name] for name in ("latent", "loss")}
        return {**encoded, **rest}

    return tf.function(of_png)


def _decode_png(contents, spec):
    """PNG files `[batch]` of the size that `spec` asks for -> images in [0, 1]."""
    _, height, width, channels = spec.shape
    # The signature, then the header chunk with width and height: whatever is no PNG, or would
    # unpack to a size that nobody asked for, is turned away before it is decoded.
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height)
    right = tf.reduce_all(tf.strings.substr(contents, 0, len(start)) == start)
    message = f"Expected {spec.name}_bytes as PNG files of {width}x{height} pixels."

    def decode(file):
        image = tf.io.decode_png(file, channels, name=f"{spec.name}_bytes")
        return tf.ensure_shape(image, [height, width, channels])

    with tf.control_dependencies([tf.debugging.Assert(right, [message])]):
        images = tf.map_fn(decode, contents, fn_output_signature=tf.uint8)
    return tf.cast(tf.reshape(images, [-1, height, width, channels]), tf.float32) / 255.0


def _encode_png(images):
    pixels = tf.cast(tf.round(tf.clip_by_value(images, 0.0, 1.0) * 255.0), tf.uint8)
    return tf.map_fn(tf.io.encode_png, pixels, fn_output_signature=tf.string)
