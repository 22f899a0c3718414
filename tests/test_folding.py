"""A folded network equals its model, whatever the model is."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfgpr import networks
from tfgpr.folding import Folded

layers = keras.layers


def chain(*inner, shape=(8, 8, 3)):
    x = inputs = keras.Input(list(shape))
    for layer in inner:
        x = layer(x)
    return keras.Model(inputs, x)


def branched():
    inputs = keras.Input([8, 8, 3])
    x = layers.Conv2D(4, 3, padding="same", use_bias=False)(inputs)
    return keras.Model(inputs, layers.Add()([layers.BatchNormalization()(x), x]))


def shared():
    norm = layers.BatchNormalization()
    return chain(layers.Conv2D(3, 3), norm, layers.Conv2D(3, 3), norm)


class Doubled(keras.Model):
    """A model that does more in its call than its layers say."""

    def call(self, inputs, training=None):
        return 2.0 * super().call(inputs, training=training)


def own_call():
    inputs = keras.Input([8, 8, 3])
    return Doubled(inputs, layers.Conv2D(4, 3)(inputs))


def conv(**kwargs):
    return layers.Conv2D(4, 3, **kwargs)


# The model, and how many steps are left of it (one for a model that is called as a whole).
MODELS = {
    "dcgan generator": (lambda: networks.dcgan_generator(32, 4, 6), 9),
    "dcgan discriminator": (lambda: networks.dcgan_discriminator(32, 4), 8),
    "spectral norm": (lambda: networks.dcgan_discriminator(32, 4, spectral_norm=True), 10),
    "valid, strides, bias": (lambda: chain(conv(strides=2), layers.BatchNormalization()), 1),
    "activation between": (
        lambda: chain(conv(activation="relu"), layers.BatchNormalization(), layers.ReLU()),
        3,
    ),
    "no scale, no center": (
        lambda: chain(conv(), layers.BatchNormalization(scale=False, center=False)),
        1,
    ),
    "other axis": (lambda: chain(conv(), layers.BatchNormalization(axis=1)), 2),
    "dilated": (lambda: chain(conv(dilation_rate=2), layers.BatchNormalization()), 2),
    "norm first": (lambda: chain(layers.BatchNormalization(), conv(), layers.Dropout(0.5)), 3),
    "transposed, valid": (
        lambda: chain(layers.Conv2DTranspose(4, 3, strides=2), layers.BatchNormalization()),
        2,
    ),
    "dense on pixels": (
        lambda: chain(layers.Dense(5), layers.BatchNormalization(), layers.Flatten()),
        2,
    ),
    "flattened between": (
        lambda: chain(conv(), layers.Reshape([144]), layers.BatchNormalization()),
        3,
    ),
    "own call": (own_call, 1),
    "branched": (branched, 1),
    "shared": (shared, 1),
}


@pytest.mark.parametrize(("make", "steps"), MODELS.values(), ids=MODELS)
def test_equals_the_model(make, steps, rng):
    model = make()
    lowest = {1: 0.2}  # variances are positive, and kernels of both signs saturate no tanh
    weights = [rng.uniform(lowest.get(w.ndim, -0.2), 0.3, w.shape) for w in model.get_weights()]
    model.set_weights(weights)
    x = rng.uniform(-1, 1, (5, *model.input_shape[1:])).astype(np.float32)
    expected = model(x, training=False).numpy()
    folded = Folded(model)
    assert len(folded._steps) == steps
    assert folded.output_shape == model.output_shape
    np.testing.assert_allclose(folded(x), expected, rtol=1e-4, atol=1e-5)
    # The weights of now, not those of the last time.
    model.set_weights([1.5 * weight for weight in weights])
    changed = model(x, training=False).numpy()
    assert np.abs(changed - expected).max() > 1e-3
    np.testing.assert_allclose(Folded(model)(x), changed, rtol=1e-4, atol=1e-5)


def test_the_gradient_in_a_loop_is_the_models(tiny_prior):
    z = tiny_prior.latent.sample(3, (0, 1))

    def descend(prior):
        def step(z):
            with tf.GradientTape() as tape:
                tape.watch(z)
                loss = tf.reduce_sum(prior.logits(prior.generate(z)))
            return (z - 0.01 * tape.gradient(loss, z),)

        return tf.while_loop(lambda _: True, step, [z], maximum_iterations=3)[0]

    expected = tf.function(lambda: descend(tiny_prior))()
    found = tf.function(lambda: descend(tiny_prior.folded()))()
    assert np.abs(expected - z).max() > 1e-3
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_subclassed_model_is_called_as_it_is(tiny_prior):
    class Mean(keras.Model):
        def call(self, images):
            return tf.reduce_mean(images, axis=[1, 2, 3])[:, None]

    prior = tiny_prior.folded()
    prior.discriminator = Mean()
    images = tiny_prior.sample(3)
    np.testing.assert_allclose(prior.folded().logits(images), prior.logits(images))


def test_the_folded_prior_is_the_prior(tiny_prior):
    folded = tiny_prior.folded()
    z = tiny_prior.latent.sample(4, (0, 2))
    images = tiny_prior.generate(z)
    np.testing.assert_allclose(folded.generate(z), images, atol=1e-6)
    np.testing.assert_allclose(folded.logits(images), tiny_prior.logits(images), atol=1e-4)
    assert folded.image_size == 32
    assert isinstance(tiny_prior.generator, keras.Model)
