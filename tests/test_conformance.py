"""What every operator, term, optimizer, start and architecture must do.

A public class of these modules that is in no list here fails `test_every_class_is_listed`.
"""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfgpr import (
    corruptions,
    initialization,
    latent,
    networks,
    objective,
    operators,
    optimizers,
    residual,
    tasks,
)
from tfgpr.errors import InputError

OPERATORS = {
    "identity": operators.Identity(),
    "inpainting": operators.Inpainting(),
    "luma": operators.Luma(),
    "value": operators.Value(),
    "downsample": operators.Downsample(4),
    "downsample_gaussian": operators.Downsample(2, "gaussian"),
    "downsample_box": operators.Downsample(8, "box"),
    "blur": operators.GaussianBlur(1.5),
    "quantize": operators.Quantize(4),
    "quantize_floor": operators.Quantize(4, floor=True),
    "bilinear_decimation": operators.BilinearDecimation(4),
    "compose": operators.Compose([operators.Inpainting(), operators.GaussianBlur(1.0)]),
}
OPTIMIZERS = {
    "adam": optimizers.Adam(0.1),
    "adam_decay": optimizers.Adam(0.1, decay_steps=30),
    "nesterov": optimizers.NesterovMomentum(0.05),
}
LATENTS = {"uniform": latent.Uniform(5), "gaussian": latent.Gaussian(5)}
ARCHITECTURES = {
    "generator": lambda: networks.dcgan_generator(32, 4, 6),
    "generator_plain": lambda: networks.dcgan_generator(64, 2, 6, 4, batch_norm=False),
    "generator_128": lambda: networks.dcgan_generator(128, 2, 6),
    "discriminator": lambda: networks.dcgan_discriminator(32, 4),
    "discriminator_plain": lambda: networks.dcgan_discriminator(64, 2, batch_norm=False),
    "discriminator_128": lambda: networks.dcgan_discriminator(128, 2),
    "discriminator_spectral": lambda: networks.dcgan_discriminator(
        32, 4, batch_norm=False, spectral_norm=True
    ),
    "encoder": lambda: networks.dcgan_encoder(32, 4, 6),
    "encoder_gaussian": lambda: networks.dcgan_encoder(
        64, 2, 7, 4, channels=6, latent_law="gaussian"
    ),
}
STARTS = {
    "clipped_normal": initialization.ClippedNormal(),
    "screened": initialization.Screened(16),
    "encoded": initialization.Encoded(residual.known_pixels),
}
TERMS = {
    "data_l1": lambda prior: objective.DataFidelity(operators.Identity(), 1),
    "data_l2": lambda prior: objective.DataFidelity(operators.Downsample(4), 2),
    "data_important": lambda prior: objective.DataFidelity(operators.Inpainting(), 1, 7),
    "realism": lambda prior: objective.Realism(prior.logits),
    "latent_uniform": lambda prior: objective.LatentTerm(latent.Uniform(6)),
    "latent_gaussian": lambda prior: objective.LatentTerm(latent.Gaussian(6)),
}
# Classes that other tests cover, or that are only bases.
ELSEWHERE = {operators.Operator, operators.Separable, objective.Objective, tasks.Task}
ELSEWHERE |= {corruptions.Corruption, initialization.Encoder}
try:  # tensorflow-addons imports on the older stack only
    flow = 3 * np.random.default_rng(0).standard_normal((32, 32, 2))
    OPERATORS["dense_warp"] = operators.DenseWarp(flow)
except InputError:
    ELSEWHERE |= {operators.DenseWarp}

# Quantize passes gradients straight through, as test_operators.py checks.
DIFFERENTIABLE = {
    name: each for name, each in OPERATORS.items() if not isinstance(each, operators.Quantize)
}
all_operators = pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS)
all_optimizers = pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
all_terms = pytest.mark.parametrize("make_term", TERMS.values(), ids=TERMS)
all_starts = pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
all_architectures = pytest.mark.parametrize("make", ARCHITECTURES.values(), ids=ARCHITECTURES)


def conditions_of(operator, batch, rng, size=32):
    known = (rng.random((batch, size, size, 1)) < 0.6).astype(np.float32)
    return {"known": known} if "known" in operator.conditions else {}


def test_every_class_is_listed():
    listed = {type(each) for each in [*OPERATORS.values(), *OPTIMIZERS.values()]}
    listed |= {type(each) for each in [*LATENTS.values(), *STARTS.values()]}
    listed |= {type(make(_FakePrior())) for make in TERMS.values()} | ELSEWHERE
    modules = (operators, optimizers, latent, initialization, objective, corruptions)
    for module in modules:
        for name, member in inspect.getmembers(module, inspect.isclass):
            if member.__module__ == module.__name__ and not name.startswith("_"):
                assert member in listed, f"{module.__name__}.{name} is in no conformance list"
    built = inspect.getsource(inspect.getmodule(test_every_class_is_listed))
    for name, _ in inspect.getmembers(networks, inspect.isfunction):
        assert name.startswith("_") or f"networks.{name}(" in built


class _FakePrior:
    def logits(self, images):
        return tf.reduce_sum(images, axis=[1, 2, 3])


@all_operators
def test_operator_round_trips_through_its_config(operator, rng):
    config = keras.saving.serialize_keras_object(operator)
    copy = keras.saving.deserialize_keras_object(config)
    images = rng.random((2, 32, 32, 3), np.float32)
    given = conditions_of(operator, 2, rng)
    np.testing.assert_array_equal(copy(images, **given), operator(images, **given))
    for name in inspect.signature(type(operator).__init__).parameters:
        assert name in ("self", "kwargs") or hasattr(operator, name)


@all_operators
def test_operator_takes_any_batch_in_one_trace(operator, rng):
    given = {name: tf.TensorSpec([None, 32, 32, 1]) for name in operator.conditions}
    images = tf.TensorSpec([None, 32, 32, 3])
    graph = tf.function(lambda images, given: operator(images, **given))
    concrete = graph.get_concrete_function(images, given)
    whole = rng.random((5, 32, 32, 3), np.float32)
    given = conditions_of(operator, 5, rng)
    expected = operator(whole, **given).numpy()
    for batch in (1, 5):
        part = {name: tf.constant(value[:batch]) for name, value in given.items()}
        flat = [tf.constant(whole[:batch]), *part.values()]
        np.testing.assert_allclose(concrete(*flat), expected[:batch], atol=1e-6)


@all_operators
def test_operator_adjoint_identity(operator, rng):
    if not operator.linear:
        with pytest.raises(ValueError, match="not linear"):
            operator.adjoint(np.zeros((2, 32, 32, 3)), (32, 32, 3))
        return
    given = conditions_of(operator, 2, rng)
    x = rng.standard_normal((2, 32, 32, 3)).astype(np.float32)
    measured = operator(x, **given).numpy()
    y = rng.standard_normal(measured.shape).astype(np.float32)
    back = operator.adjoint(y, (32, 32, 3), **given).numpy()
    np.testing.assert_allclose((measured * y).sum(), (x * back).sum(), rtol=1e-4)
    np.testing.assert_allclose(operator(3 * x, **given), 3 * measured, atol=1e-4)


@pytest.mark.parametrize("operator", DIFFERENTIABLE.values(), ids=DIFFERENTIABLE)
def test_operator_gradient_is_a_finite_difference(operator, rng):
    given = conditions_of(operator, 1, rng)
    x = tf.constant(rng.random((1, 32, 32, 3), np.float32))
    direction = rng.standard_normal(x.shape).astype(np.float32)
    weights = rng.standard_normal(operator(x, **given).shape).astype(np.float32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(weights * operator(x, **given))
    slope = float(tf.reduce_sum(tape.gradient(total, x) * direction))
    step = 1e-3
    ahead, behind = (operator(x + s * step * direction, **given).numpy() for s in (1, -1))
    difference = ((ahead.astype(np.float64) - behind) * weights).sum() / (2 * step)
    assert slope == pytest.approx(difference, rel=2e-2, abs=0.1)


@all_terms
def test_term_is_one_number_per_image_with_a_true_gradient(make_term, tiny_prior, rng):
    term = make_term(tiny_prior)
    z = rng.uniform(-1, 1, (3, 6)).astype(np.float32)
    images = rng.random((3, 32, 32, 3), np.float32)
    extra = {}
    if isinstance(term, objective.DataFidelity):
        given = conditions_of(term.operator, 3, rng)
        extra = {"observed": term.operator(1 - images, **given).numpy(), **given}

    def value(z, images, rows=slice(None)):
        given = {name: each[rows] for name, each in extra.items()}
        return term(tf.convert_to_tensor(z), tf.convert_to_tensor(images), **given)

    whole = value(z, images)
    assert whole.shape == (3,)
    for row in range(3):
        rows = slice(row, row + 1)
        np.testing.assert_allclose(value(z[rows], images[rows], rows), whole[rows], rtol=1e-4)

    point = tf.constant(z), tf.constant(images)
    move = rng.standard_normal(z.shape), rng.standard_normal(images.shape)
    with tf.GradientTape() as tape:
        tape.watch(point)
        total = tf.reduce_sum(value(*point))
    gradients = tape.gradient(total, point, unconnected_gradients="zero")
    slope = sum(float(tf.reduce_sum(g * m)) for g, m in zip(gradients, move))
    step = 2e-4
    ahead, behind = (
        value(*[(p + s * step * m).astype(np.float32) for p, m in zip((z, images), move)])
        for s in (1, -1)
    )
    difference = np.sum(np.float64(ahead) - np.float64(behind)) / (2 * step)
    assert slope == pytest.approx(difference, rel=3e-2, abs=0.5)


@all_optimizers
def test_optimizer_minimises_a_quadratic_and_rows_do_not_mix(optimizer, rng):
    target = rng.uniform(-1, 1, (4, 5)).astype(np.float32)
    z0 = np.zeros((4, 5), np.float32)

    def run(rows, steps=30):
        z, state = tf.constant(z0[rows]), optimizer.init(tf.constant(z0[rows]))
        update = tf.function(optimizer.update)
        for _ in range(steps):
            z, state = update(z - target[rows], state, z)
        return z.numpy(), state

    z, state = run(slice(None))
    assert np.abs(z - target).max() < 0.3 * np.abs(z0 - target).max()
    for tensor in tf.nest.flatten(state):
        assert tensor.shape[0] == 4
    np.testing.assert_allclose(run(slice(1, 2))[0], z[1:2], atol=1e-6)


@pytest.mark.parametrize("law", LATENTS.values(), ids=LATENTS)
def test_latent_law_draws_what_its_density_says(law):
    z = law.sample(4000, (3, 4)).numpy()
    np.testing.assert_array_equal(z, law.sample(4000, (3, 4)))
    variance = {"uniform": 1 / 3, "gaussian": 1.0}[law.name]
    np.testing.assert_allclose(z.mean(0), 0, atol=0.07)
    np.testing.assert_allclose(z.var(0), variance, rtol=0.1)
    np.testing.assert_array_equal(law.project(tf.constant(z)), z)
    difference = law.negative_log_prob(tf.constant(z[:2])).numpy()
    expected = {"uniform": [0, 0], "gaussian": 0.5 * (z[:2] ** 2 + np.log(2 * np.pi)).sum(1)}
    np.testing.assert_allclose(difference, expected[law.name], rtol=1e-5)


@all_starts
def test_start_depends_on_neither_batch_nor_mates(start, complete_prior, rng):
    data = objective.DataFidelity(operators.Inpainting())
    observed = rng.random((5, 32, 32, 3), np.float32)
    known = conditions_of(data.operator, 5, rng)["known"]
    whole = start(complete_prior, data, tf.constant(observed), 3, 7, known=tf.constant(known))
    assert whole.shape == (5, 3, 6)
    assert np.abs(whole.numpy()).max() <= 1
    one = slice(2, 3)
    alone = start(
        complete_prior, data, tf.constant(observed[one]), 3, 7, known=tf.constant(known[one])
    )
    # An encoder's sums may be taken in another order in a larger batch.
    np.testing.assert_allclose(alone, whole[one], rtol=0, atol=2e-6)


@all_architectures
def test_architecture_shapes_ranges_and_keras_round_trip(make, tmp_path, rng):
    network = make()
    shape = (3, *network.input_shape[1:])
    inputs = rng.uniform(-1, 1, shape).astype(np.float32)
    outputs = network(inputs, training=False).numpy()
    if network.name == "generator":
        size = outputs.shape[1]
        assert outputs.shape == (3, size, size, 3)
        assert np.abs(outputs).max() <= 1
    else:
        columns = {"discriminator": {1}, "encoder": {6, 7}}
        assert outputs.shape[0] == 3
        assert outputs.shape[1] in columns[network.name]
    np.testing.assert_allclose(network(inputs[1:2], training=False), outputs[1:2], atol=1e-5)
    copy = make()
    if keras.__version__ > "3" or make is not ARCHITECTURES["discriminator_spectral"]:
        network.save(tmp_path / "network.keras")
        copy = keras.models.load_model(tmp_path / "network.keras")
    else:  # Keras 2 writes such a file but cannot read it
        copy.set_weights(network.get_weights())
    np.testing.assert_allclose(copy(inputs, training=False), outputs, atol=1e-6)


def test_the_papers_generator_has_the_papers_widths():
    generator = networks.dcgan_generator()
    shapes = [layer.kernel.shape for layer in generator.layers if "conv" in layer.name]
    assert [tuple(shape[:3]) for shape in shapes] == [(5, 5, c) for c in (512, 256, 128, 3)]
    assert generator.layers[1].kernel.shape == (100, 4 * 4 * 1024)


def test_an_image_size_that_is_not_offered_is_named():
    with pytest.raises(ValueError, match="48"):
        networks.dcgan_generator(48)
