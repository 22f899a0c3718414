"""The adversarial game: who moves, by what, and what is kept."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfgpr import augmentation, networks, training
from tfgpr.gan import GAN, recompute_batch_norm
from tfgpr.latent import Uniform


def make_gan(**settings):
    keras.utils.set_random_seed(3)
    generator = networks.dcgan_generator(32, 4, 6)
    norm = settings.pop("discriminator_batch_norm", False)
    discriminator = networks.dcgan_discriminator(32, 4, batch_norm=norm)
    gan = GAN(generator, discriminator, **settings)
    gan.compile()
    return gan


@pytest.fixture
def real(rng):
    return tf.constant(rng.random((8, 32, 32, 3), np.float32))


def snapshot(model):
    return [weight.numpy().copy() for weight in model.trainable_variables]


def moved(before, model):
    return [bool((a != b.numpy()).any()) for a, b in zip(before, model.trainable_variables)]


NETWORKS = ("generator", "discriminator", "encoder")


def make_encoder():
    return networks.dcgan_encoder(32, 4, 6)


class Frozen(keras.optimizers.SGD):
    """Applies nothing, so that the other network's step can be seen alone."""

    def __init__(self):
        super().__init__(0.0)


@pytest.mark.parametrize("trained", ["generator", "discriminator"])
def test_each_optimizer_moves_its_own_network_only(trained, real):
    gan = make_gan()
    optimizers = {
        name: keras.optimizers.SGD(0.1) if name == trained else Frozen()
        for name in ("generator", "discriminator")
    }
    gan.compile(optimizers["generator"], optimizers["discriminator"])
    before = {name: snapshot(getattr(gan, name)) for name in optimizers}
    gan.train_step(real)
    for name in optimizers:
        assert all(moved(before[name], getattr(gan, name))) == (name == trained)
        assert any(moved(before[name], getattr(gan, name))) == (name == trained)


def test_batch_norm_means_move_in_both_networks(real):
    gan = make_gan(discriminator_batch_norm=True)
    for network in (gan.generator, gan.discriminator):
        norms = [x for x in network.layers if isinstance(x, keras.layers.BatchNormalization)]
        before = [norm.moving_mean.numpy().copy() for norm in norms]
        gan.train_step(real)
        assert norms
        for mean, norm in zip(before, norms):
            assert np.abs(norm.moving_mean.numpy() - mean).max() > 0


def stepped_gradient(gan, real, name, index):
    """A kernel of a network and its gradient in `train_step`, by a step of plain SGD.

    Everything else is afterwards as it was in that step: weights as before it, moving
    statistics as its first draw left them.
    """
    gan.compile(*(keras.optimizers.SGD(1.0) if each == name else Frozen() for each in NETWORKS))
    if gan.encoder:
        gan.encoder_optimizer.iterations.assign(1000)  # past the warm-up
    before = {each: snapshot(getattr(gan, each)) for each in gan.trained}
    gan.train_step(real)
    kernel = getattr(gan, name).trainable_variables[index]
    gradient = before[name][index] - kernel.numpy()
    for each, weights in before.items():
        for variable, weight in zip(getattr(gan, each).trainable_variables, weights):
            variable.assign(weight)
    gan.steps.assign_sub(1)
    return kernel, gradient


def slope_along(loss, kernel, gradient, step=1e-3):
    """The slope of `loss()` along the gradient's signs: predicted, and by a difference."""
    direction = np.sign(gradient).astype(np.float32)
    start = kernel.numpy()
    kernel.assign(start + step * direction)
    ahead = loss()
    kernel.assign(start - step * direction)
    behind = loss()
    kernel.assign(start)
    return (gradient * direction).sum(), (ahead - behind) / (2 * step)


def softplus(values):
    return np.log1p(np.exp(np.float64(values)))


def test_the_discriminator_gradient_is_that_of_the_written_loss(real):
    """softplus(-D(x)) + softplus(D(G(z))) + gamma/2 * interval * |grad D|^2, by differences."""
    gan = make_gan(augment=False, r1_gamma=0.3, r1_interval=4)
    kernel, gradient = stepped_gradient(gan, real, "discriminator", 2)
    images = real * 2 - 1
    fake = gan.generator(gan._draw(8), training=True)

    def loss():
        with tf.GradientTape() as tape:
            tape.watch(images)
            real_logits = gan.discriminator(images, training=True)
        slope = np.float64(tape.gradient(real_logits, images))
        loss.r1 = (slope**2).sum((1, 2, 3)).mean()
        loss.adversarial = softplus(-real_logits).mean()
        loss.adversarial += softplus(gan.discriminator(fake, training=True)).mean()
        return loss.adversarial + 0.5 * 0.3 * 4 * loss.r1

    loss()
    assert float(gan.trackers["d_loss"].result()) == pytest.approx(loss.adversarial, rel=1e-4)
    assert float(gan.trackers["r1"].result()) == pytest.approx(loss.r1, rel=1e-3)
    predicted, difference = slope_along(loss, kernel, gradient)
    assert predicted == pytest.approx(difference, rel=2e-2)


@pytest.mark.parametrize(("name", "index"), [("generator", -2), ("encoder", 0)])
def test_with_an_encoder_the_gradients_are_those_of_the_written_loss(name, index, real):
    """G: softplus(-D(G(z))) + w mean (x - G(E(x)))^2; E: the latter and the law of E(x)."""
    gan = make_gan(augment=False, reconstruction_weight=300.0, encoder=make_encoder())
    kernel, gradient = stepped_gradient(gan, real, name, index)
    images = real * 2 - 1

    def loss():
        z = gan.encoder(images)
        error = np.float64(images - gan.generator(z, training=False))
        total = 300.0 * (error**2).mean()
        loss.reconstruction = total / 300.0
        if name == "encoder":
            z = np.float64(z)
            return total + (z.mean(0) ** 2 + ((z**2).mean(0) - 1 / 3) ** 2).mean()
        kept = gan.generator.get_weights()
        logits = gan.discriminator(gan.generator(gan._draw(8), training=True))
        for variable, weight in zip(gan.generator.weights, kept):
            variable.assign(weight)  # the draw moved the moving statistics
        return total + softplus(-logits).mean()

    loss()
    assert float(gan.trackers["reconstruction"].result()) == pytest.approx(
        loss.reconstruction, rel=1e-3
    )
    predicted, difference = slope_along(loss, kernel, gradient, 2e-4)
    assert predicted == pytest.approx(difference, rel=2e-2)


def test_the_generator_follows_the_encoder_only_once_that_has_learned(real):
    plain, held = make_gan(augment=False), make_gan(augment=False, encoder=make_encoder())
    held.reconstruction_weight = 50.0
    for gan in (plain, held):
        gan.compile(keras.optimizers.SGD(1.0), Frozen(), Frozen())
        gan.train_step(real)
    for a, b in zip(snapshot(plain.generator), snapshot(held.generator)):
        np.testing.assert_allclose(a, b, atol=1e-6)
    for gan in (plain, held):
        gan.train_step(real)  # E has taken one step
    pairs = zip(snapshot(plain.generator), snapshot(held.generator))
    assert max(np.abs(a - b).max() for a, b in pairs) > 1e-5


def test_r1_is_applied_every_interval_only(real):
    gan = make_gan(r1_interval=3)
    for step in range(4):
        gan.trackers["r1"].reset_state()
        gan.train_step(real)
        assert (float(gan.trackers["r1"].result()) > 0) == (step % 3 == 0)


def test_the_full_width_trains_in_float32_past_r1(rng):
    # At this width TensorFlow's graph optimizer once broke R1's branch; no smaller one shows it.
    recipe = training.Recipe(batch_size=16)
    gan = recipe.gan(recipe.prior("float32"))
    train_step = tf.function(gan.train_step)
    images = tf.constant(rng.random((16, 64, 64, 3), np.float32))
    r1 = [float(train_step(images)["r1"]) for _ in range(4)]
    assert r1[0] > 0
    np.testing.assert_allclose(r1[1:], r1[0], rtol=1e-6)  # the mean over R1's turns: one so far


def test_the_average_follows_its_recursion(real):
    gan = make_gan(ema_decay=0.5)
    average = [weight.numpy().copy() for weight in gan.ema_generator.weights]
    for step in range(3):
        gan.train_step(real)
        decay = min(0.5, step / (step + 10))
        average = [
            decay * a + (1 - decay) * weight.numpy()
            for a, weight in zip(average, gan.generator.weights)
        ]
    for expected, weight in zip(average, gan.ema_generator.weights):
        np.testing.assert_allclose(weight, expected, atol=1e-5)


def test_fit_reports_and_the_discriminator_learns():
    gan = make_gan(augment=False, r1_gamma=0.0)
    gan.compile(Frozen(), keras.optimizers.Adam(1e-3))
    stripes = np.tile(np.float32([[0.0], [1.0]]), (16, 32))[..., None] * np.ones(3, np.float32)
    data = tf.data.Dataset.from_tensors(np.tile(stripes, (8, 1, 1, 1))).repeat()
    history = gan.fit(data, epochs=3, steps_per_epoch=20, verbose=0).history
    assert history["d_loss"][-1] < 0.2 < history["d_loss"][0]
    assert int(gan.steps.numpy()) == 60


def test_keras_file_round_trip_keeps_weights_optimizers_and_settings(tmp_path, real):
    settings = {"latent_law": "gaussian", "r1_gamma": 0.5, "ema_decay": 0.9}
    gan = make_gan(**settings, encoder=make_encoder(), reconstruction_weight=2.0)
    gan.compile(keras.optimizers.Adam(1e-3, beta_1=0.4), *map(keras.optimizers.Adam, (3e-3, 5e-3)))
    gan.train_step(real)
    gan.save(tmp_path / "gan.keras")
    copy = keras.models.load_model(tmp_path / "gan.keras")
    assert isinstance(copy, GAN)
    assert copy.get_config().keys() == gan.get_config().keys()
    for name in gan.get_config().keys() - {"name", *NETWORKS}:
        assert getattr(copy, name) == getattr(gan, name)
    assert float(copy.generator_optimizer.learning_rate) == pytest.approx(1e-3)
    assert float(copy.discriminator_optimizer.learning_rate) == pytest.approx(3e-3)
    assert float(copy.encoder_optimizer.learning_rate) == pytest.approx(5e-3)
    z = gan.latent.sample(3, (0, 0))
    np.testing.assert_allclose(copy(z), gan(z), atol=1e-6)
    np.testing.assert_allclose(copy.generator(z), gan.generator(z), atol=1e-6)
    images = gan(z)
    np.testing.assert_allclose(copy.discriminator(images), gan.discriminator(images), atol=1e-6)
    np.testing.assert_allclose(copy.encoder(images), gan.encoder(images), atol=1e-6)


def test_recomputed_batch_norm_is_the_mean_and_variance_over_all_draws():
    generator, latent = networks.dcgan_generator(32, 4, 6), Uniform(6)
    recompute_batch_norm(generator, latent, batches=6, batch_size=64, seed=5)
    z = tf.concat([latent.sample(64, (5, batch)) for batch in range(6)], axis=0)
    norm = next(x for x in generator.layers if isinstance(x, keras.layers.BatchNormalization))
    hidden = tf.matmul(z, generator.layers[1].kernel)
    inputs = tf.reshape(hidden, [-1, norm.moving_mean.shape[0]]).numpy()
    np.testing.assert_allclose(norm.moving_mean, inputs.mean(0), atol=1e-5)
    np.testing.assert_allclose(norm.moving_variance, inputs.var(0), rtol=0.1)
    assert norm.momentum == pytest.approx(0.9)


def test_translation_moves_whole_images_by_whole_pixels(rng):
    images = rng.random((6, 16, 16, 3), np.float32)
    tf.random.set_seed(1)
    moved_images = augmentation.translation(tf.constant(images)).numpy()
    shifts = set()
    for image, result in zip(images, moved_images):
        padded = np.pad(image, ((2, 2), (2, 2), (0, 0)))
        found = [
            (r, c)
            for r in range(5)
            for c in range(5)
            if np.allclose(padded[r : r + 16, c : c + 16], result, atol=1e-6)
        ]
        assert len(found) == 1
        shifts.add(found[0])
    assert len(shifts) > 1


def test_color_augmentations_change_one_number_per_image(rng):
    images = tf.constant(rng.uniform(-1, 1, (5, 8, 8, 3)), tf.float32)
    brighter = (augmentation.brightness(images) - images).numpy().reshape(5, -1)
    np.testing.assert_allclose(brighter, brighter[:, :1] * np.ones((1, 192)), atol=1e-6)
    assert np.abs(brighter).max() <= 0.5
    gray = images.numpy().mean(-1, keepdims=True)
    saturated = augmentation.saturation(images).numpy()
    np.testing.assert_allclose(saturated.mean(-1, keepdims=True), gray, atol=1e-6)
    mean = images.numpy().mean((1, 2, 3))
    np.testing.assert_allclose(
        augmentation.contrast(images).numpy().mean((1, 2, 3)), mean, atol=1e-5
    )


def test_cutout_hides_one_square_of_each_image():
    tf.random.set_seed(2)
    images = augmentation.cutout(tf.ones([40, 16, 16, 3])).numpy()
    places, widths = set(), set()
    for image in images:
        rows, columns, _ = np.nonzero(image == 0)
        square = np.ones([16, 16, 3])
        square[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = 0
        np.testing.assert_array_equal(image, square)
        assert 4 <= np.ptp(rows) + 1 <= 8  # clipped at the edges
        places.add((rows.min(), columns.min()))
        widths.add(np.ptp(rows) + 1)
    assert len(places) > 20
    assert max(widths) == 8
    assert (augmentation.diff_augment(tf.ones([4, 16, 16, 3]), True).numpy() == 0).mean() > 0.05


def test_draws_are_a_function_of_seed_and_step(real):
    gan, other = make_gan(), make_gan(seed=1)
    first = gan._draw(5)
    np.testing.assert_array_equal(first, gan._draw(5))
    assert np.abs(other._draw(5) - first).max() > 0.1
    gan.train_step(real)
    assert np.abs(gan._draw(5) - first).max() > 0.1


def test_images_as_files_hold_them_are_trained_on_as_numbers_in_zero_to_one(real):
    stored = tf.cast(tf.round(255 * real), tf.uint8)
    losses = []
    for images in (stored, tf.cast(stored, tf.float32) / 255):
        keras.utils.set_random_seed(3)
        gan = make_gan()
        losses.append([float(value) for value in gan.train_step(images).values()])
    np.testing.assert_allclose(*losses, rtol=1e-5)
