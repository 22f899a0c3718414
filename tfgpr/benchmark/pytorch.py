"""The published loop in eager PyTorch, with the same weights: what tfgpr is timed against.

TensorFlow pads a convolution of stride 2 by one pixel more at the end than at the start,
PyTorch evenly. The mirror image of a TensorFlow network (kernels and images turned by 180
degrees) has the odd pixel at the start, which is what PyTorch's `padding` and
`output_padding` give. So the ported networks work on mirrored images and cost nothing extra.
"""

import numpy as np
import torch

from tfgpr.errors import InputError
from tfgpr.folding import chain
from tfgpr.objective import importance_weights
from tfgpr.operators import REC_601, Identity, Inpainting, Luma, Separable


def mirrored(images):
    """Images `[batch, height, width, channels]` as PyTorch's, turned by 180 degrees; and
    back, from a tensor."""
    if isinstance(images, torch.Tensor):
        return images.detach().float().cpu().numpy().transpose(0, 2, 3, 1)[:, ::-1, ::-1].copy()
    images = np.asarray(images, np.float32)[:, ::-1, ::-1].transpose(0, 3, 1, 2)
    return torch.from_numpy(images.copy()).contiguous(memory_format=torch.channels_last)


def ported(model):
    """A Keras DCGAN network as a `torch.nn.Sequential` with the same weights, in channels_last,
    for inference.

    Raises:
      InputError: layers that are not DCGAN's.
    """
    layers = chain(model)
    if layers is None:
        raise InputError(f"Expected a plain chain of layers to port. Received: {model.name}.")
    layers = [getattr(layer, "layer", layer) for layer in layers]  # in spectral normalisation
    modules, flattened = [], None
    for index, layer in enumerate(layers):
        kind = type(layer).__name__
        if kind == "Flatten":
            flattened = tuple(layer.input.shape[1:])
        after = layers[index + 1] if index + 1 < len(layers) else None
        shaped = tuple(after.target_shape) if type(after).__name__ == "Reshape" else None
        modules.append(_module(layer, kind, flattened, shaped))
    network = torch.nn.Sequential(*modules).eval().requires_grad_(False)
    return network.to(memory_format=torch.channels_last)


def _module(layer, kind, flattened, shaped):
    if kind == "Dense":
        return _dense(layer, flattened, shaped)
    if kind in ("Conv2D", "Conv2DTranspose"):
        return _convolution(layer, kind == "Conv2DTranspose")
    if kind == "BatchNormalization":
        norm = torch.nn.BatchNorm2d(layer.gamma.shape[0], layer.epsilon)
        _copy(norm.weight, layer.gamma)
        _copy(norm.bias, layer.beta)
        _copy(norm.running_mean, layer.moving_mean)
        _copy(norm.running_var, layer.moving_variance)
        return norm
    if kind == "Reshape":
        height, width, channels = layer.target_shape
        return torch.nn.Unflatten(1, (channels, height, width))
    if kind == "LeakyReLU":
        return torch.nn.LeakyReLU(float(getattr(layer, "negative_slope", None) or layer.alpha))
    if kind == "Activation" and layer.activation.__name__ == "tanh":
        return torch.nn.Tanh()
    simple = {"ReLU": torch.nn.ReLU, "Flatten": torch.nn.Flatten}
    if kind not in simple:
        raise InputError(f"Expected the layers of a DCGAN to port. Received: {kind}.")
    return simple[kind]()


def _dense(layer, flattened, shaped):
    """Dense, its inputs or outputs in the order of mirrored images with channels first."""
    kernel, bias = np.array(layer.kernel), None
    if layer.use_bias:
        bias = np.array(layer.bias)
    if flattened is not None:
        kernel = _channels_first(kernel.T.reshape(-1, *flattened)).T
    if shaped is not None:
        kernel = _channels_first(kernel.reshape(-1, *shaped))
        bias = None if bias is None else _channels_first(bias.reshape(1, *shaped))[0]
    linear = torch.nn.Linear(*kernel.shape, bias=bias is not None)
    _copy(linear.weight, kernel.T)
    if bias is not None:
        _copy(linear.bias, bias)
    return linear


def _channels_first(values):
    """`[rows, height, width, channels]` -> `[rows, channels * height * width]`, mirrored."""
    return values[:, ::-1, ::-1].transpose(0, 3, 1, 2).reshape(len(values), -1)


def _convolution(layer, transposed):
    if tuple(layer.strides) != (2, 2) or layer.padding != "same":
        raise InputError("Expected convolutions of stride 2 with padding 'same' to port.")
    kernel = np.array(layer.kernel)[::-1, ::-1]  # [height, width, in, out], or out, in
    size = kernel.shape[0]
    padding = (size - 1) // 2
    kernel = kernel.transpose(3, 2, 0, 1)  # [out, in, ...], or in, out: PyTorch's order
    channels = kernel.shape[:2] if transposed else kernel.shape[1::-1]
    if transposed:
        more = {"output_padding": 2 + 2 * padding - size}
        built = torch.nn.ConvTranspose2d
    else:
        more, built = {}, torch.nn.Conv2d
    module = built(*channels, size, stride=2, padding=padding, bias=layer.use_bias, **more)
    _copy(module.weight, kernel)
    if layer.use_bias:
        _copy(module.bias, layer.bias)
    return module


def _copy(tensor, values):
    with torch.no_grad():
        tensor.copy_(torch.from_numpy(np.array(values, np.float32)))


def measurement(operator, image_size):
    """The operator for mirrored images: `(images, known) -> measurements`.

    Raises:
      InputError: an operator that is not one of the paper's.
    """
    if isinstance(operator, Inpainting):
        return lambda images, known: images * known
    if isinstance(operator, Luma):
        weights = torch.tensor(REC_601)[:, None, None]
        return lambda images, known: (images * weights).sum(1, keepdim=True)
    if isinstance(operator, Separable):
        matrix = torch.from_numpy(operator.matrix(image_size)[::-1, ::-1].astype(np.float32))
        return lambda images, known: matrix @ images @ matrix.T
    if isinstance(operator, Identity):
        return lambda images, known: images
    raise InputError(f"Expected an operator of the paper. Received: {type(operator).__name__}.")


class PublishedLoop:
    """Yeh et al.'s search as a PyTorch user writes it: SGD with Nesterov momentum, z clipped.

    Args:
      prior: a `GanPrior` of DCGAN networks with a uniform latent.
      task: one of the paper's; its `paper` method is what runs.
      bfloat16: run the networks under autocast to bfloat16.
    """

    def __init__(self, prior, task, bfloat16=False):
        if prior.latent.name != "uniform":
            raise InputError(f"Expected a uniform latent. Received: {prior.latent.name}.")
        self.generator = ported(prior.generator)
        self.discriminator = ported(prior.discriminator)
        self.measure = measurement(task.operator, prior.image_size)
        self.method = task.paper
        self.bfloat16 = bfloat16

    def generate(self, z):
        """G(z), mirrored, in [0, 1]."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            return self.generator(z).float() * 0.5 + 0.5

    def loss(self, z, observed, known, weights):
        """The published objective of each image, `[batch]`."""
        images = self.generate(z)
        distance = (observed - self.measure(images, known)).abs()
        if self.method.p == 2:
            distance = distance**2
        total = (distance * weights).flatten(1).sum(1)
        if self.method.weight:
            with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
                logits = self.discriminator(images * 2 - 1).float()[:, 0]
            total = total - self.method.weight * logits
        return total

    def search(self, observed, z0, iterations, known=None):
        """The last z, `[batch, dim]`.

        Args:
          observed: y, `[batch, ...]`, as the task's operator gives it.
          z0: the starts, `[batch, dim]`.
          iterations: how many steps.
          known: the mask of inpainting.
        """
        weights = torch.ones(1)
        if self.method.importance_window is not None:
            window = self.method.importance_window
            weights = mirrored(importance_weights(np.asarray(known, np.float32), window))
        observed = mirrored(observed)
        known = None if known is None else mirrored(known)
        z = torch.from_numpy(np.array(z0, np.float32)).requires_grad_(True)
        rule = self.method.optimizer
        optimizer = torch.optim.SGD(
            [z], lr=rule.learning_rate, momentum=rule.momentum, nesterov=True
        )
        for _ in range(iterations):
            optimizer.zero_grad(set_to_none=True)
            self.loss(z, observed, known, weights).sum().backward()
            optimizer.step()
            with torch.no_grad():
                z.clamp_(-1.0, 1.0)
        return z.detach().numpy()
