"""Optimizers, objective and corruptions against independent computations."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfgpr import corruptions, latent, objective, operators, optimizers
from tfgpr.errors import InputError
from tfgpr.prior import GanPrior


def test_adam_equals_keras(rng):
    ours = optimizers.Adam(0.03, beta_1=0.8, beta_2=0.95)
    keras_adam = keras.optimizers.Adam(0.03, beta_1=0.8, beta_2=0.95, epsilon=1e-7)
    z = tf.constant(rng.standard_normal((3, 4)), tf.float32)
    variable = tf.Variable(z)
    state = ours.init(z)
    for _ in range(20):
        gradient = tf.constant(rng.standard_normal((3, 4)), tf.float32)
        z, state = ours.update(gradient, state, z)
        keras_adam.apply_gradients([(gradient, variable)])
    np.testing.assert_allclose(z, variable, atol=1e-5)


def test_adam_decays_as_half_a_cosine():
    steps = 8
    adam = optimizers.Adam(0.1, decay_steps=steps)
    z, moves = tf.zeros([1, 1]), []
    state = adam.init(z)
    for _ in range(steps + 2):
        before = z
        z, state = adam.update(tf.ones([1, 1]), state, z)
        moves.append((before - z).numpy().item())
    expected = 0.05 * (1 + np.cos(np.pi * np.minimum(np.arange(steps + 2) / steps, 1)))
    np.testing.assert_allclose(moves, expected, atol=1e-6)


def test_adam_does_not_feel_the_objectives_scale(rng):
    gradients = rng.standard_normal((10, 1, 4)).astype(np.float32)
    ends = []
    for scale in (1.0, 1e4):
        adam, z = optimizers.Adam(0.1), tf.zeros([1, 4])
        state = adam.init(z)
        for gradient in gradients:
            z, state = adam.update(scale * gradient, state, z)
        ends.append(z.numpy())
    np.testing.assert_allclose(ends[0], ends[1], atol=1e-4)


def test_nesterov_equals_keras_sgd_seen_from_the_look_ahead(rng):
    """Keras's SGD(nesterov=True) writes the same recursion in its look-ahead variable."""
    ours = optimizers.NesterovMomentum(0.05, 0.9)
    sgd = keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True)
    z = tf.constant(rng.standard_normal((2, 3)), tf.float32)
    variable = tf.Variable(z)
    state = ours.init(z)
    for _ in range(20):
        gradient = tf.constant(rng.standard_normal((2, 3)), tf.float32)
        z, state = ours.update(gradient, state, z)
        sgd.apply_gradients([(gradient, variable)])
    np.testing.assert_allclose(z, variable, atol=1e-5)


def test_the_data_term_is_a_sum_of_powers(rng):
    images, observed = rng.random((2, 2, 8, 8, 3), np.float32)
    for p in (1, 2):
        term = objective.DataFidelity(operators.Identity(), p)
        expected = (np.abs(images - observed) ** p).sum((1, 2, 3))
        np.testing.assert_allclose(term(None, images, observed), expected, rtol=1e-5)


def test_realism_is_log_one_minus_d_minus_log_d(tiny_prior):
    images = tiny_prior.sample(4).numpy()
    d = 1 / (1 + np.exp(-tiny_prior.logits(images).numpy().astype(np.float64)))
    expected = np.log(1 - d) - np.log(d)
    term = objective.Realism(tiny_prior.logits)
    np.testing.assert_allclose(term(None, images), expected, rtol=1e-4)


@pytest.mark.parametrize("p", [1, 2])
def test_the_data_term_is_weighed_around_the_hole(rng, p):
    images, observed = rng.random((2, 2, 8, 8, 3), np.float32)
    known = (rng.random((2, 8, 8, 1)) < 0.6).astype(np.float32)
    term = objective.DataFidelity(operators.Inpainting(), p, importance_window=3)
    expected = np.zeros(2)
    for b, r, c in zip(*known[..., 0].nonzero()):
        window = known[b, max(r - 1, 0) : r + 2, max(c - 1, 0) : c + 2]
        distance = np.abs(images[b, r, c] - observed[b, r, c]) ** p
        expected[b] += (1 - window).mean() * distance.sum()
    np.testing.assert_allclose(term(None, images, observed, known=known), expected, rtol=1e-5)


@pytest.mark.parametrize("law", [latent.Uniform(6), latent.Gaussian(6)], ids=lambda law: law.name)
def test_the_objective_adds_lambda_times_realism_and_latent(tiny_prior, rng, law):
    prior = GanPrior(tiny_prior.generator, tiny_prior.discriminator, law)
    z = rng.uniform(-1, 1, (3, 6)).astype(np.float32)
    observed = rng.random((3, 32, 32, 3), np.float32)
    data = objective.DataFidelity(operators.Identity())
    without = objective.Objective.of_prior(prior, data, 0.0)(z, observed).numpy()
    with_prior = objective.Objective.of_prior(prior, data, 2.5)(z, observed).numpy()
    expected = -prior.logits(prior.generate(z)).numpy()
    if law.name == "gaussian":
        expected += 0.5 * (z**2 + np.log(2 * np.pi)).sum(axis=1)
    np.testing.assert_allclose(with_prior - without, 2.5 * expected, atol=1e-3)


def test_data_fidelity_names_bad_arguments():
    with pytest.raises(InputError, match="p = 1 or 2"):
        objective.DataFidelity(operators.Identity(), 3)
    with pytest.raises(InputError, match="known"):
        objective.DataFidelity(operators.Identity(), 1, importance_window=7)


def test_noise_has_its_deviation_and_follows_the_image_not_the_batch(rng):
    corruption = corruptions.Corruption(operators.Identity(), 0.1)
    images = rng.random((16, 32, 32, 3), np.float32)
    noisy = corruption(images, seed=4).numpy()
    noise = noisy - images
    assert noise.std() == pytest.approx(0.1, rel=0.02)
    assert abs(noise.mean()) < 0.002
    assert np.abs(np.corrcoef(noise.reshape(16, -1)) - np.eye(16)).max() < 0.1
    np.testing.assert_array_equal(corruption(images[5:6], seed=4, first=5), noisy[5:6])
    assert np.abs(corruption(images, seed=5).numpy() - noisy).max() > 0.1


def test_a_corruption_takes_what_image_files_hold(rng):
    stored = rng.integers(0, 256, (2, 8, 8, 3), np.uint8)
    corruption = corruptions.Corruption(operators.Downsample(4), 0.1)
    expected = corruption(stored / np.float32(255), seed=2)
    np.testing.assert_allclose(corruption(stored, seed=2), expected, atol=1e-6)
    in_graph = tf.function(lambda images: corruption(images, seed=2))
    np.testing.assert_allclose(in_graph(stored / np.float32(255)), expected, atol=1e-6)
    with pytest.raises(InputError, match="divide by 255"):
        corruption(stored.astype(np.float32))


def test_corruption_without_noise_is_the_operator(rng):
    images = rng.random((2, 32, 32, 3), np.float32)
    quantised = corruptions.Corruption(operators.Quantize(4))(images)
    np.testing.assert_allclose(quantised, np.round(images * 4) / 4, atol=1e-6)
