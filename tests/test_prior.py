"""A prior's folder: what is saved is loaded, and what is damaged is named."""

import json

import keras
import numpy as np
import pytest

from tfgpr import latent, networks, precision
from tfgpr.errors import InputError
from tfgpr.gan import GAN
from tfgpr.prior import GanPrior, load_prior


def test_round_trip_within_float16(tiny_prior, tmp_path):
    tiny_prior.training = {"steps": 7}
    tiny_prior.save(tmp_path / "prior")
    copy = load_prior(tmp_path / "prior", dtype="float32")
    z = tiny_prior.latent.sample(5, (0, 1))
    images = tiny_prior.generate(z)
    np.testing.assert_allclose(copy.generate(z), images, atol=2e-2)
    np.testing.assert_allclose(copy.logits(images), tiny_prior.logits(images), rtol=5e-2, atol=5e-2)
    assert (copy.image_size, copy.crop, copy.latent.name) == (32, tiny_prior.crop, "uniform")
    assert copy.training == {"steps": 7}
    again = tmp_path / "again"
    copy.save(again)  # already rounded: nothing more is lost
    np.testing.assert_array_equal(load_prior(again, "float32").generate(z), copy.generate(z))


def test_a_variance_beyond_float16_is_kept(tmp_path):
    prior = GanPrior.dcgan(
        generator={"image_size": 32, "base_channels": 4, "latent_dim": 8, "kernel_size": 3},
        discriminator={"image_size": 32, "base_channels": 4, "kernel_size": 3},
        latent_law="uniform",
        crop=None,
        dtype="float32",
    )
    norm = next(x for x in prior.generator.layers if isinstance(x, keras.layers.BatchNormalization))
    norm.moving_variance.assign(np.linspace(60_000, 200_000, norm.moving_variance.shape[0]))
    prior.save(tmp_path / "prior")
    copy = load_prior(tmp_path / "prior", dtype="float32")
    for kept, given in zip(copy.generator.get_weights(), prior.generator.get_weights()):
        np.testing.assert_allclose(kept, given, rtol=1e-3, atol=1e-4)


def test_generated_images_are_the_generators_in_zero_to_one(tiny_prior):
    z = tiny_prior.latent.sample(3, (4, 4))
    expected = (tiny_prior.generator(z, training=False).numpy() + 1) / 2
    np.testing.assert_allclose(tiny_prior.generate(z), expected, atol=1e-6)
    logits = tiny_prior.discriminator(2 * expected - 1, training=False).numpy()[:, 0]
    np.testing.assert_allclose(tiny_prior.logits(expected), logits, rtol=1e-4, atol=1e-4)


def test_any_keras_pair_can_be_a_prior(tmp_path):
    z = keras.Input([3])
    image = keras.layers.Dense(8 * 8 * 3, activation="tanh")(z)
    generator = keras.Model(z, keras.layers.Reshape([8, 8, 3])(image))
    images = keras.Input([8, 8, 3])
    logits = keras.layers.Dense(1)(keras.layers.Flatten()(images))
    prior = GanPrior(generator, keras.Model(images, logits), latent.Gaussian(3), crop=None)
    prior.save(tmp_path / "mine")
    copy = load_prior(tmp_path / "mine")
    np.testing.assert_allclose(copy.sample(4), prior.sample(4), atol=1e-6)
    assert (copy.crop, copy.latent.name, copy.image_size) == (None, "gaussian", 8)


def test_bfloat16_networks_give_float32_images_close_to_float32(tiny_prior, tmp_path):
    tiny_prior.save(tmp_path / "prior")
    fast = load_prior(tmp_path / "prior", dtype="mixed_bfloat16")
    z = tiny_prior.latent.sample(4, (0, 1))
    assert fast.generate(z).dtype == "float32"
    np.testing.assert_allclose(fast.generate(z), tiny_prior.generate(z), atol=0.05)


def test_dtypes_are_chosen_and_named(monkeypatch):
    for has, gpus, expected in (
        (True, [], "mixed_bfloat16"),
        (True, [0], "float32"),
        (False, [], "float32"),
    ):
        monkeypatch.setattr(precision, "_cpu_has_bfloat16", lambda has=has: has)
        monkeypatch.setattr(precision.tf.config, "list_physical_devices", lambda kind, g=gpus: g)
        assert precision.resolve("auto") == expected
    with pytest.raises(InputError, match="float16"):
        precision.resolve("float16")


def test_saving_over_a_folder_has_to_be_asked_for(tiny_prior, tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="already holds"):
        tiny_prior.save(tmp_path)
    tiny_prior.save(tmp_path, overwrite=True)
    assert (tmp_path / "mine.txt").read_text() == "keep"
    load_prior(tmp_path)


def edit(folder, **changes):
    file = folder / "model.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


DAMAGES = {
    "absent": (lambda f: [x.unlink() for x in f.iterdir()], "Expected a prior"),
    "no weights": (lambda f: (f / "weights.npz").unlink(), "missing, half-written"),
    "half weights": (
        lambda f: (f / "weights.npz").write_bytes((f / "weights.npz").read_bytes()[:999]),
        "half-written",
    ),
    "an entry is missing": (
        lambda f: (f / "model.json").write_text('{"format": 1}'),
        "damaged .*crop",
    ),
    "half description": (lambda f: (f / "model.json").write_text('{"format": '), "damaged"),
    "other format": (lambda f: edit(f, format=99), "format 99"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES)
def test_damage_is_named(damage, message, tiny_prior, tmp_path):
    tiny_prior.save(tmp_path / "prior")
    damage(tmp_path / "prior")
    with pytest.raises(InputError, match=message):
        load_prior(tmp_path / "prior")


def test_weights_of_other_networks_are_named(tiny_prior, tmp_path):
    tiny_prior.save(tmp_path / "prior")
    other = {"generator": {"image_size": 32, "base_channels": 8, "latent_dim": 6}}
    edit(tmp_path / "prior", architecture={**tiny_prior.architecture, **other})
    with pytest.raises(InputError, match="json describes"):
        load_prior(tmp_path / "prior")


def test_the_networks_of_dcgan_are_those_of_its_arguments():
    prior = GanPrior.dcgan(
        {"image_size": 32, "base_channels": 4, "latent_dim": 9}, {"image_size": 32}
    )
    expected = networks.dcgan_generator(32, 4, 9)
    assert [w.shape for w in prior.generator.weights] == [w.shape for w in expected.weights]
    assert prior.latent.dim == 9


def test_a_prior_from_a_gan_is_its_average_with_fresh_statistics(tmp_path):
    untrained = GanPrior.dcgan(
        {"image_size": 32, "base_channels": 4, "latent_dim": 6},
        {"image_size": 32, "base_channels": 4, "batch_norm": False},
    )
    gan = GAN(untrained.generator, untrained.discriminator)
    gan.ema_generator.set_weights([w + 0.01 for w in gan.ema_generator.get_weights()])
    prior = GanPrior.from_gan(gan, None, untrained.architecture, {"steps": 1}, batches=4)
    assert (prior.crop, prior.training, prior.latent) == (None, {"steps": 1}, gan.latent)
    z = np.concatenate([prior.latent.sample(256, (0, batch)) for batch in range(4)])
    inference = prior.generator(z, training=False).numpy()
    assert not any(layer.trainable for layer in prior.generator.layers)
    fresh = networks.dcgan_generator(32, 4, 6)  # one that is not frozen looks at its batch
    fresh.set_weights(prior.generator.get_weights())
    batch = fresh(z, training=True).numpy()
    assert batch.std() > 0.01
    np.testing.assert_allclose(inference, batch, atol=0.1 * batch.std())
    prior.save(tmp_path / "prior")
    copy = load_prior(tmp_path / "prior", "float32")
    np.testing.assert_allclose(copy.generate(z), prior.generate(z), atol=1e-2)


def test_networks_that_do_not_fit_are_named(tiny_prior):
    gray = keras.Sequential([keras.Input([6]), keras.layers.Dense(64)])
    gray.add(keras.layers.Reshape([8, 8, 1]))
    with pytest.raises(InputError, match=r"\(None, 8, 8, 1\)"):
        GanPrior(gray, tiny_prior.discriminator, tiny_prior.latent)
    with pytest.raises(InputError, match="batch, 7"):
        GanPrior(tiny_prior.generator, tiny_prior.discriminator, latent.Uniform(7))
    with pytest.raises(InputError, match=r"uniform, gaussian.*'normal'"):
        GAN(tiny_prior.generator, tiny_prior.discriminator, "normal")
