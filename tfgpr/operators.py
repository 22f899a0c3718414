"""Measurement operators A: what a camera, a hole or a printer does to an image.

Every operator is a Keras layer on images `[batch, height, width, channels]` in [0, 1]:

    operator(images, **conditions) -> measurements

`conditions` are inputs of the measurement that differ from image to image (the mask of
`Inpainting`); `operator.conditions` lists their names. Where `operator.linear` is true,
`operator.adjoint` is A's transpose: <A x, y> = <x, A^T y> for all x and y.
"""

import keras
import numpy as np
import tensorflow as tf

from tfgpr import addons
from tfgpr.errors import InputError

REC_601 = (0.299, 0.587, 0.114)  # luma weights of R, G, B (ITU-R BT.601)


class Operator(keras.layers.Layer):
    """Base of all operators: a layer without weights that computes in float32.

    Attributes:
      linear: whether A is linear in the image.
      conditions: names of the further inputs of `call`.
      pixelwise: whether each pixel of the measurement is made of the same pixel of the image
        alone, and a black one of a black one.
    """

    linear = True
    conditions = ()
    pixelwise = False

    def __init__(self, **kwargs):
        super().__init__(**{"trainable": False, "dtype": "float32", **kwargs})

    def adjoint(self, measurements, image_shape, **conditions):
        """A^T y, `[batch, *image_shape]`, for a linear operator.

        Args:
          measurements: y, as the operator returns it.
          image_shape: `(height, width, channels)` of the images that A measures.
          **conditions: as in the call.
        Raises:
          InputError: the operator is not linear.
        """
        if not self.linear:
            raise InputError(f"{type(self).__name__} is not linear; it has no adjoint.")
        measurements = tf.convert_to_tensor(measurements, tf.float32)
        images = tf.zeros([tf.shape(measurements)[0], *image_shape])
        with tf.GradientTape() as tape:
            tape.watch(images)
            measured = self(images, **conditions)
        return tape.gradient(
            measured,
            images,
            output_gradients=measurements,
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )


@keras.saving.register_keras_serializable(package="tfgpr")
class Identity(Operator):
    """A x = x: denoising and dequantization. Self-adjoint."""

    pixelwise = True

    def call(self, images):
        return images


@keras.saving.register_keras_serializable(package="tfgpr")
class Inpainting(Operator):
    """A x = known * x, `known` being 1 where a pixel was observed. Self-adjoint.

    Call with `known` `[batch or 1, height, width, 1 or channels]`, one mask per image.
    """

    conditions = ("known",)
    pixelwise = True

    def call(self, images, known):
        return images * known


@keras.saving.register_keras_serializable(package="tfgpr")
class Luma(Operator):
    """Rec. 601 luma, `[batch, height, width, 1]`. The adjoint repeats y, weighted, over R, G, B."""

    pixelwise = True

    def call(self, images):
        return tf.tensordot(images, tf.constant(REC_601, images.dtype), 1)[..., None]


@keras.saving.register_keras_serializable(package="tfgpr")
class Value(Operator):
    """V of HSV, the largest channel, `[batch, height, width, 1]`. Not linear."""

    linear = False
    pixelwise = True

    def call(self, images):
        return tf.reduce_max(images, axis=-1, keepdims=True)


class Separable(Operator):
    """A x = S x S^T in each channel. The adjoint is S^T y S.

    Subclasses define `matrix(size)`: S `[size out, size in]`, a NumPy array, for a side of
    `size` pixels.
    """

    def call(self, images):
        _, height, width, _ = images.shape
        rows = tf.constant(self.matrix(height), images.dtype)
        columns = tf.constant(self.matrix(width), images.dtype)
        images = tf.einsum("ih,bhwc->biwc", rows, images)
        return tf.einsum("jw,biwc->bijc", columns, images)


def _cubic(t):
    """Keys' cubic kernel, a = -1/2."""
    t = np.abs(t)
    inner = (1.5 * t - 2.5) * t**2 + 1
    outer = ((-0.5 * t + 2.5) * t - 4) * t + 2
    return np.where(t < 1, inner, np.where(t < 2, outer, 0.0))


def _box(t):
    return np.where((t >= -0.5) & (t < 0.5), 1.0, 0.0)


def _gaussian(t):
    return np.exp(-2.0 * t**2)  # standard deviation: half a large pixel


_KERNELS = {"bicubic": _cubic, "gaussian": _gaussian, "box": _box}


@keras.saving.register_keras_serializable(package="tfgpr")
class Downsample(Separable):
    """Low pass and decimation: `[batch, height/factor, width/factor, channels]`. Linear.

    Weights are renormalised at the border, so a constant image stays constant.

    Args:
      factor: a whole number that divides height and width.
      method: the low pass, as wide as the large pixels: "bicubic" (antialiased, Keys'
        a = -1/2, as Pillow and tf.image.resize have it), "gaussian" (standard deviation of
        half a large pixel) or "box" (the mean over factor x factor pixels).
    Raises:
      InputError: a factor below 1 or that does not divide the size; an unknown method.
    """

    def __init__(self, factor, method="bicubic", **kwargs):
        super().__init__(**kwargs)
        if factor != int(factor) or factor < 1:
            raise InputError(f"Expected factor as a whole number from 1 on. Received: {factor!r}.")
        if method not in _KERNELS:
            raise InputError(f"Expected method in {sorted(_KERNELS)}. Received: {method!r}.")
        self.factor = int(factor)
        self.method = method

    def matrix(self, size):
        if size % self.factor:
            raise InputError(
                f"Expected an image size that the factor {self.factor} divides. Received: {size}."
            )
        centres = (np.arange(size // self.factor) + 0.5) * self.factor
        offsets = (np.arange(size) + 0.5 - centres[:, None]) / self.factor
        weights = _KERNELS[self.method](offsets)
        return weights / weights.sum(axis=1, keepdims=True)

    def get_config(self):
        return {**super().get_config(), "factor": self.factor, "method": self.method}


@keras.saving.register_keras_serializable(package="tfgpr")
class BilinearDecimation(Separable):
    """Bilinear to 1/factor of the size, without a low pass, and bilinear back. Linear.

    Both with aligned corners: sample i of n lies at i * (size - 1) / (n - 1). What the
    released code of the paper calls super-resolution (protocol `published`).

    Args:
      factor: a whole number that divides height and width.
    Raises:
      InputError: a factor below 1 or that leaves fewer than 2 samples.
    """

    def __init__(self, factor, **kwargs):
        super().__init__(**kwargs)
        if factor != int(factor) or factor < 1:
            raise InputError(f"Expected factor as a whole number from 1 on. Received: {factor!r}.")
        self.factor = int(factor)

    def matrix(self, size):
        small = size // self.factor
        if small < 2 or size % self.factor:
            raise InputError(
                f"Expected an image size that the factor {self.factor} divides, twice at least. "
                f"Received: {size}."
            )
        return _bilinear(small, size) @ _bilinear(size, small)

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


def _bilinear(size, samples):
    """Linear interpolation at `samples` points with aligned corners, `[samples, size]`."""
    places = np.linspace(0, size - 1, samples)
    return np.maximum(0, 1 - np.abs(places[:, None] - np.arange(size)))


@keras.saving.register_keras_serializable(package="tfgpr")
class GaussianBlur(Separable):
    """Blur by a Gaussian, images mirrored at the border (half-sample symmetric). Linear.

    Args:
      sigma: standard deviation in pixels; the kernel ends at 4 sigma.
    Raises:
      InputError: sigma is not positive.
    """

    def __init__(self, sigma, **kwargs):
        super().__init__(**kwargs)
        if not sigma > 0:
            raise InputError(f"Expected sigma > 0 pixels. Received: {sigma!r}.")
        self.sigma = float(sigma)

    def matrix(self, size):
        radius = int(4.0 * self.sigma + 0.5)
        offsets = np.arange(-radius, radius + 1)
        weights = np.exp(-0.5 * (offsets / self.sigma) ** 2)
        weights /= weights.sum()
        # Where each tap of each output pixel falls after mirroring: ... 1 0 | 0 1 2 ...
        taps = (np.arange(size)[:, None] + offsets) % (2 * size)
        taps = np.where(taps < size, taps, 2 * size - 1 - taps)
        matrix = np.zeros([size, size])
        np.add.at(matrix, (np.arange(size)[:, None], taps), weights)
        return matrix

    def get_config(self):
        return {**super().get_config(), "sigma": self.sigma}


@keras.saving.register_keras_serializable(package="tfgpr")
class Quantize(Operator):
    """round(steps * x) / steps. Not linear; its gradient is taken as 1 (straight through).

    Args:
      steps: number of intervals of [0, 1]; there are `steps + 1` values.
      floor: round down rather than to the nearest; `steps` need not be whole then, and the
        last interval is cut off (protocol `published`).
    Raises:
      InputError: steps below 1, or not whole.
    """

    linear = False
    pixelwise = True

    def __init__(self, steps=4, floor=False, **kwargs):
        super().__init__(**kwargs)
        if steps < 1 or (steps != int(steps) and not floor):
            raise InputError(f"Expected steps as a whole number from 1 on. Received: {steps!r}.")
        self.steps = steps
        self.floor = bool(floor)

    def call(self, images):
        rounding = tf.floor if self.floor else tf.round
        rounded = rounding(images * self.steps) / self.steps
        return images + tf.stop_gradient(rounded - images)

    def get_config(self):
        return {**super().get_config(), "steps": self.steps, "floor": self.floor}


@keras.saving.register_keras_serializable(package="tfgpr")
class DenseWarp(Operator):
    """Geometric distortion: (A x)[i, j] = x at (i - flow[i, j, 0], j - flow[i, j, 1]). Linear.

    Bilinear between pixels; beyond the border its pixels are repeated. Computed by
    `tfa.image.dense_image_warp`, so it needs `tfgpr[addons]`.

    Args:
      flow: `[height, width, 2]`, displacement in pixels (down, right) of what each pixel of
        the measurement shows; fixes the image size.
    Raises:
      InputError: another shape; images of another size; tensorflow-addons does not import.
    """

    def __init__(self, flow, **kwargs):
        super().__init__(**kwargs)
        self._warp = addons.load("the operator DenseWarp").image.dense_image_warp
        flow = np.asarray(flow, np.float32)
        if flow.ndim != 3 or flow.shape[-1] != 2 or not np.isfinite(flow).all():
            raise InputError(
                "Expected flow of shape [height, width, 2], finite. Received: shape "
                f"{flow.shape}{'' if np.isfinite(flow).all() else ' with NaN or infinity'}."
            )
        self.flow = flow

    def call(self, images):
        if tuple(images.shape[1:3]) != self.flow.shape[:2]:
            raise InputError(
                f"Expected images of the flow's size {self.flow.shape[:2]}. Received: "
                f"{tuple(images.shape[1:3])}."
            )
        batch = tf.shape(images)[0]
        return self._warp(images, tf.repeat(tf.constant(self.flow)[None], batch, axis=0))

    def get_config(self):
        return {**super().get_config(), "flow": self.flow.tolist()}


@keras.saving.register_keras_serializable(package="tfgpr")
class Compose(Operator):
    """The operators one after the other, the first applied first. Linear if all are.

    Args:
      operators: a list of operators. Each gets those conditions that it names.
    Raises:
      InputError: an empty list.
    """

    def __init__(self, operators, **kwargs):
        super().__init__(**kwargs)
        if not operators:
            raise InputError("Expected at least one operator to compose. Received: none.")
        self.operators = list(operators)
        self.linear = all(operator.linear for operator in self.operators)
        self.pixelwise = all(operator.pixelwise for operator in self.operators)
        names = [name for operator in self.operators for name in operator.conditions]
        self.conditions = tuple(dict.fromkeys(names))
        self.built = True  # no weights anywhere, so nothing to build

    def call(self, images, **conditions):
        for operator in self.operators:
            images = operator(images, **{name: conditions[name] for name in operator.conditions})
        return images

    def get_config(self):
        operators = [keras.saving.serialize_keras_object(each) for each in self.operators]
        return {**super().get_config(), "operators": operators}

    @classmethod
    def from_config(cls, config):
        operators = [keras.saving.deserialize_keras_object(each) for each in config["operators"]]
        return cls(**{**config, "operators": operators})


def keeps_mask(operator):
    """Whether y is empty wherever `known` is 0: nothing after the mask mixes pixels."""
    parts = operator.operators if isinstance(operator, Compose) else [operator]
    masks = [index for index, part in enumerate(parts) if "known" in part.conditions]
    return bool(masks) and all(part.pixelwise for part in parts[masks[-1] :])


def require_conditions(operator, name, given):
    """Raises InputError unless the conditions of an operator are given, and no others.

    Args:
      operator: the operator.
      name: of what the user wanted, for the message.
      given: the names that were given.
    """
    names = operator.conditions
    if set(given) != set(names):
        raise InputError(
            f"Expected {', '.join(names) or 'no'} condition(s) with {name}. Received: "
            f"{', '.join(sorted(given)) or 'none'}."
        )
