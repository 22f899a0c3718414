"""DCGAN networks as plain Keras models (Radford et al. 2016; Yeh et al. 2018, Section 3).

Both work on images in [-1, 1], the range of the generator's tanh. `GanPrior` is what
converts to the public [0, 1].
"""

import keras

from tfgpr.errors import InputError

_SMALLEST = 4  # side of the first feature map of G and of the last one of D
IMAGE_SIZES = (32, 64, 128)


def _normal():
    # A new one for each layer: a shared one repeats its draws.
    return keras.initializers.RandomNormal(stddev=0.02)


def _stages(image_size):
    if image_size not in IMAGE_SIZES:
        raise InputError(f"Expected image_size in {IMAGE_SIZES}. Received: {image_size!r}.")
    return (image_size // _SMALLEST).bit_length() - 1


def dcgan_generator(
    image_size=64,
    base_channels=128,
    latent_dim=100,
    kernel_size=5,
    batch_norm=True,
    dtype="float32",
):
    """z `[batch, latent_dim]` -> images `[batch, image_size, image_size, 3]` in [-1, 1].

    A dense layer to 4x4, then transposed convolutions of stride 2 that each halve the
    channels and double the size. The last but one has `base_channels` channels, so
    `image_size=64, base_channels=128` is the paper's 1024-512-256-128 network.

    Args:
      image_size: 32, 64 or 128 pixels.
      base_channels: channels of the largest hidden feature map.
      latent_dim: size of z.
      kernel_size: of the transposed convolutions; 5 in the paper.
      batch_norm: normalise after each hidden layer.
      dtype: a Keras dtype policy; weights and the output stay float32.
    Raises:
      InputError: an image size that is not offered.
    """
    layers = keras.layers
    stages = _stages(image_size)
    widths = [base_channels * 2**stage for stage in reversed(range(stages))]

    def activate(x):
        if batch_norm:
            x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, dtype=dtype)(x)
        return layers.ReLU(dtype=dtype)(x)

    z = keras.Input([latent_dim], name="z")
    x = layers.Dense(
        _SMALLEST**2 * widths[0], use_bias=not batch_norm, kernel_initializer=_normal(), dtype=dtype
    )(z)
    x = activate(layers.Reshape([_SMALLEST, _SMALLEST, widths[0]], dtype=dtype)(x))
    for stage, width in enumerate([*widths[1:], 3], start=1):
        last = stage == stages
        x = layers.Conv2DTranspose(
            width,
            kernel_size,
            strides=2,
            padding="same",
            use_bias=last or not batch_norm,
            kernel_initializer=_normal(),
            dtype=dtype,
        )(x)
        x = layers.Activation("tanh", dtype="float32")(x) if last else activate(x)
    return keras.Model(z, x, name="generator")


def dcgan_discriminator(
    image_size=64,
    base_channels=128,
    kernel_size=5,
    batch_norm=True,
    spectral_norm=False,
    dtype="float32",
):
    """Images `[batch, image_size, image_size, 3]` in [-1, 1] -> logits `[batch, 1]`.

    The generator in reverse: convolutions of stride 2 that double the channels, starting at
    `base_channels`, then a dense layer. D(x) is the sigmoid of the logit.

    Args:
      image_size: 32, 64 or 128 pixels.
      base_channels: channels after the first convolution.
      kernel_size: of the convolutions; 5 in the paper.
      batch_norm: normalise after each hidden layer but the first, as in DCGAN. With few
        images (here: 9,000) and no R1 it lets D memorise; see tfgpr.gan.
      spectral_norm: divide each weight by its largest singular value (Miyato et al. 2018).
        Keras 2 cannot read back a `.keras` file with it; a prior's folder loads everywhere.
      dtype: a Keras dtype policy; weights and logits stay float32.
    Raises:
      InputError: an image size that is not offered.
    """
    layers = keras.layers
    images = keras.Input([image_size, image_size, 3], name="images")
    x = _down(images, base_channels, kernel_size, batch_norm, spectral_norm, _normal, dtype)
    dense = layers.Dense(1, kernel_initializer=_normal(), dtype="float32")
    logits = _normalised(dense, spectral_norm, "float32")(x)
    return keras.Model(images, logits, name="discriminator")


def dcgan_encoder(
    image_size=64,
    base_channels=128,
    latent_dim=100,
    kernel_size=5,
    channels=3,
    latent_law="uniform",
    dtype="float32",
):
    """Images `[batch, image_size, image_size, channels]` -> z `[batch, latent_dim]`.

    The discriminator's convolutions without norm, with He's initialization, and a dense layer;
    for the uniform law a tanh keeps z inside the box.

    Args:
      image_size: 32, 64 or 128 pixels.
      base_channels: channels after the first convolution.
      latent_dim: size of z.
      kernel_size: of the convolutions.
      channels: of what it sees, in about [-1, 1].
      latent_law: "uniform" or "gaussian".
      dtype: a Keras dtype policy; weights and z stay float32.
    Raises:
      InputError: an image size that is not offered.
    """
    layers = keras.layers
    images = keras.Input([image_size, image_size, channels], name="images")
    x = _down(images, base_channels, kernel_size, False, False, keras.initializers.HeNormal, dtype)
    z = layers.Dense(latent_dim, dtype="float32")(x)
    if latent_law == "uniform":
        z = layers.Activation("tanh", dtype="float32")(z)
    return keras.Model(images, z, name="encoder")


def _normalised(layer, spectral_norm, dtype):
    return keras.layers.SpectralNormalization(layer, dtype=dtype) if spectral_norm else layer


def _down(x, base_channels, kernel_size, batch_norm, spectral_norm, initializer, dtype):
    """Convolutions of stride 2 down to 4x4, flattened."""
    layers = keras.layers
    for stage in range(_stages(x.shape[1])):
        norm = batch_norm and stage > 0
        convolution = layers.Conv2D(
            base_channels * 2**stage,
            kernel_size,
            strides=2,
            padding="same",
            use_bias=not norm,
            kernel_initializer=initializer(),
            dtype=dtype,
        )
        x = _normalised(convolution, spectral_norm, dtype)(x)
        if norm:
            x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, dtype=dtype)(x)
        x = layers.LeakyReLU(0.2, dtype=dtype)(x)
    return layers.Flatten(dtype=dtype)(x)
