"""Networks for inference: batch norm folded away, weights cast to the compute dtype once.

Batch norm in inference mode is a scale and a shift of each channel, so the layer before it
can do it: gamma (W x + b - mean) / std + beta = (gamma / std) W x + (b - mean) gamma / std + beta.
"""

import inspect

import keras
import tensorflow as tf

_LINEAR = (keras.layers.Dense, keras.layers.Conv2D, keras.layers.Conv2DTranspose)


class Folded:
    """`model(x, training=False)` with the weights that the model has now.

    Made inside a graph, before a loop, it keeps the folding and the casting of the weights
    out of the loop. Layers that it does not know are called as they are, and a model that is
    no plain chain of layers as a whole. Results equal the model's to rounding.

    Args:
      model: a Keras model of one input and one output.
    """

    def __init__(self, model):
        self._model = model
        layers = chain(model)
        whole = [lambda x: model(x, training=False)]
        self._steps = whole if layers is None else _steps(layers)

    @property
    def output_shape(self):
        return self._model.output_shape

    def __call__(self, x, training=False):
        del training
        for step in self._steps:
            x = step(x)
        return x


def chain(model):
    """The layers from input to output if each has the one before as its only input, else None."""
    if type(model).__module__.partition(".")[0] != "keras":
        return None  # a class of its own may do anything in its call
    layers = [each for each in model.layers if not isinstance(each, keras.layers.InputLayer)]
    try:
        ends = [model.input, *(layer.output for layer in layers)]
        inputs = [layer.input for layer in layers]
        plain = all(a is b for a, b in zip([*inputs, model.output], ends))
    except (AttributeError, ValueError):  # a layer that is used twice, or not built
        return None
    return layers if plain and layers else None


def _steps(layers):
    steps, index = [], 0
    while index < len(layers):
        layer, index = layers[index], index + 1
        if type(layer) not in _LINEAR or not _is_understood(layer):
            steps.append(_call(layer))
            continue
        between = []
        while index < len(layers) and type(layers[index]) is keras.layers.Reshape:
            between.append(_call(layers[index]))
            index += 1
        norm = layers[index] if index < len(layers) else None
        if _folds(layer, norm):
            index += 1
        else:
            norm = None
        steps += [_linear(layer, norm), *between]
    return steps


def _is_understood(layer):
    if type(layer) is keras.layers.Dense:
        return True
    return (
        layer.data_format == "channels_last"
        and tuple(layer.dilation_rate) == (1, 1)
        and getattr(layer, "groups", 1) == 1
        and (type(layer) is keras.layers.Conv2D or layer.padding == "same")
        and getattr(layer, "output_padding", None) is None
    )


def _folds(layer, norm):
    """Whether `norm` is batch norm over the last axis, right after a layer without activation,
    each of whose outputs it sees as one channel."""
    if type(norm) is not keras.layers.BatchNormalization:
        return False
    axes = norm.axis if isinstance(norm.axis, int) else list(norm.axis)
    last = len(norm.output.shape) - 1
    outputs = layer.kernel.shape[-2 if type(layer) is keras.layers.Conv2DTranspose else -1]
    return (
        axes in (-1, last, [-1], [last])
        and layer.activation is keras.activations.linear
        and outputs % norm.moving_mean.shape[0] == 0
    )


def _linear(layer, norm):
    kernel = tf.convert_to_tensor(layer.kernel)
    bias = tf.convert_to_tensor(layer.bias) if layer.use_bias else 0.0
    if norm is not None:
        scale = tf.math.rsqrt(tf.convert_to_tensor(norm.moving_variance) + norm.epsilon)
        scale = scale * tf.convert_to_tensor(norm.gamma) if norm.scale else scale
        shift = -tf.convert_to_tensor(norm.moving_mean) * scale
        shift = shift + tf.convert_to_tensor(norm.beta) if norm.center else shift
        transposed = type(layer) is keras.layers.Conv2DTranspose
        outputs = kernel.shape[-2 if transposed else -1]
        repeats = outputs // scale.shape[0]  # a dense layer that is reshaped to pixels
        scale, shift = tf.tile(scale, [repeats]), tf.tile(shift, [repeats])
        kernel = kernel * (scale[:, None] if transposed else scale)
        bias = bias * scale + shift
    dtype = layer.compute_dtype
    kernel = tf.cast(kernel, dtype)
    if norm is None and not layer.use_bias:
        return lambda x: layer.activation(_apply(layer, tf.cast(x, dtype), kernel))
    bias = tf.cast(bias, dtype)
    return lambda x: layer.activation(
        tf.nn.bias_add(_apply(layer, tf.cast(x, dtype), kernel), bias)
    )


def _apply(layer, x, kernel):
    if type(layer) is keras.layers.Dense:
        return tf.matmul(x, kernel) if x.shape.rank == 2 else tf.tensordot(x, kernel, 1)
    if type(layer) is keras.layers.Conv2D:
        return tf.nn.conv2d(x, kernel, layer.strides, layer.padding.upper())
    shape = tf.shape(x)
    rows, columns = layer.strides
    height = x.shape[1] * rows if x.shape[1] else shape[1] * rows
    width = x.shape[2] * columns if x.shape[2] else shape[2] * columns
    shape = tf.stack([shape[0], height, width, kernel.shape[2]])
    return tf.nn.conv2d_transpose(x, kernel, shape, layer.strides, "SAME")


def _call(layer):
    """The layer, in inference mode."""
    if "training" in inspect.signature(layer.call).parameters:
        return lambda x: layer(x, training=False)
    return layer
