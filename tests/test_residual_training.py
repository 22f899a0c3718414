"""scripts/train_residual.py, and the critic that it may train nu beside."""

import csv
import functools
import inspect
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import make_tiny_prior
from test_gan import slope_along, softplus
from test_scripts import run_script

from tfgpr import (
    initialization,
    latent,
    residual,
    residual_examples,
    residual_training,
    tasks,
    training_run,
)
from tfgpr.errors import InputError
from tfgpr.images import write_png
from tfgpr.prior import GanPrior, load_prior
from tfgpr.restoration import Restorer

ROWS = slice(32, 48)  # super-resolution's 16 among 80


@pytest.fixture
def batch(rng):
    """Inputs of the network of nu for 80 images, and what it is to find."""
    shape = (80, 16, 16, 3)
    inputs = [tf.constant(rng.uniform(-0.5, 0.5, shape), tf.float32) for _ in range(3)]
    return tuple(inputs), tf.constant(rng.uniform(-0.3, 0.3, shape), tf.float32)


def sharpened(trained):
    keras.utils.set_random_seed(5)
    model = residual_training.Sharpened(residual.residual_network(16, [4, 8]), 0.7)
    rates = {name: float(name == trained) for name in ("network", "critic")}
    model.compile(keras.optimizers.SGD(rates["network"]))
    model.critic_optimizer = keras.optimizers.SGD(rates["critic"])
    return model


@pytest.mark.parametrize("trained", ["network", "critic"])
def test_the_critic_and_the_network_descend_the_written_losses(trained, batch):
    model, (inputs, missing) = sharpened(trained), batch
    kernel = [v for v in getattr(model, trained).trainable_variables if len(v.shape) == 4][-1]
    if trained == "network":  # its last kernel starts at zero
        kernel.assign(0.05 * np.random.default_rng(0).standard_normal(kernel.shape))
    before = kernel.numpy()
    others = [v for v in model.trainable_variables if v is not kernel]
    kept = [v.numpy() for v in others]
    model.train_step(batch)
    gradient = before - kernel.numpy()
    kernel.assign(before)
    for variable, value in zip(others, kept):
        variable.assign(value)
    evidence, real = 2 * inputs[0][ROWS], 10 * missing[ROWS]

    def network_loss():
        correction = model.network(inputs)
        error = np.float64(missing - correction)
        adversarial = softplus(-model.critic([evidence, 10 * correction[ROWS]])).mean()
        return np.log10((error**2).mean((1, 2, 3)) + 1e-4).mean() + 0.7 * 0.2 * adversarial

    def critic_loss():
        with tf.GradientTape() as tape:
            tape.watch(real)
            logits = model.critic([evidence, real])
            answers = tf.reduce_mean(logits, axis=[1, 2, 3])
        slope = np.float64(tape.gradient(answers, real))
        fake = model.critic([evidence, 10 * model.network(inputs)[ROWS]])
        r1 = (slope**2).sum((1, 2, 3)).mean()
        return softplus(-logits).mean() + softplus(fake).mean() + 0.5 * r1

    loss = network_loss if trained == "network" else critic_loss
    predicted, difference = slope_along(loss, kernel, gradient, 3e-4)
    assert abs(predicted) > 1e-4
    assert predicted == pytest.approx(difference, rel=2e-2)


class Planted:
    """Stands in for `Examples`: noise, of which a share is missing; always the same."""

    def __init__(self):
        self.asked = []

    def batch(self, index):
        index = tf.numpy_function(self.note, [index], tf.int32)
        noise = [tf.random.stateless_uniform([80, 16, 16, 3], (i, 0), -0.5, 0.5) for i in range(3)]
        return tuple(noise), 0.1 * noise[0] - 0.2

    def note(self, index):
        self.asked.append(int(index))
        return np.int32(index)


def fitted(folder, epochs=3, examples=None, **settings):
    """The weights that `fit` ends with, from the same beginning each time."""
    keras.utils.set_random_seed(6)
    network = residual.residual_network(16, [4])
    examples = examples or Planted()
    residual_training.fit(network, examples, Planted(), folder, epochs, 2, **settings)
    return network.get_weights()


def test_an_interrupted_training_goes_on_as_if_it_had_not_been(tmp_path, monkeypatch):
    expected = fitted(tmp_path / "at once", realism=0.5)

    class Interrupted(residual_training._Report):
        epoch = 0

        def on_epoch_begin(self, epoch, logs=None):
            self.epoch = epoch

        def on_train_batch_end(self, batch, logs=None):
            if self.epoch == 1:  # the second; a step of it is lost
                raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(residual_training, "_Report", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            fitted(tmp_path / "run", realism=0.5)
    found = fitted(tmp_path / "run", realism=0.5)
    for a, b in zip(found, expected):
        np.testing.assert_allclose(a, b, atol=1e-5)
    with open(tmp_path / "run" / "log.csv") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("callback", "moment"),
    [
        (training_run.Log, "on_epoch_end"),
        (keras.callbacks.BackupAndRestore, "on_epoch_end"),
        (keras.callbacks.BackupAndRestore, "on_train_end"),
    ],
)
def test_each_epoch_is_logged_once_whenever_it_was_killed(callback, moment, tmp_path, monkeypatch):
    def killed(self, *args):
        raise SystemExit("killed")

    with monkeypatch.context() as patched:
        patched.setattr(callback, moment, killed)
        with pytest.raises(SystemExit):
            fitted(tmp_path, epochs=1)
    for epochs in (1, 2):  # what goes on, and a later training
        fitted(tmp_path, epochs)
        with open(tmp_path / "log.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [int(row["epoch"]) for row in rows] == [*range(epochs)]
        assert np.isfinite([float(row["denoising"]) for row in rows]).all()


def test_a_training_that_diverges_begins_anew_when_called_again(tmp_path):
    class Poisoned(Planted):
        def batch(self, index):
            inputs, missing = super().batch(index)
            return inputs, np.nan * missing

    with pytest.raises(InputError, match=f"{tmp_path / 'run'}.*--learning_rate"):
        fitted(tmp_path / "run", examples=Poisoned())
    for a, b in zip(fitted(tmp_path / "run"), fitted(tmp_path / "at once")):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_the_psnr_that_is_reported_is_that_of_a_planted_error(rng):
    planted = np.linspace(20, 60, 80)  # dB, of each image
    noise = rng.standard_normal((80, 16 * 16 * 3))
    scale = 10 ** (-planted / 20) / (noise**2).mean(axis=1) ** 0.5
    missing = np.float32(scale[:, None] * noise).reshape(80, 16, 16, 3)
    examples = types.SimpleNamespace(batch=lambda index: (None, missing))
    report = residual_training._Report(lambda inputs: 0.0, examples, batches=2)
    report.on_epoch_end(0)
    assert list(report.psnr) == list(residual_examples.NAMES)
    expected = planted.reshape(5, 16).mean(axis=1)
    np.testing.assert_allclose(list(report.psnr.values()), expected, atol=0.01)


def test_a_seed_says_which_examples_are_seen(tmp_path):
    examples = Planted()
    fitted(tmp_path, epochs=1, examples=examples, seed=70)
    assert examples.asked[:2] == [70, 71]


@pytest.fixture
def arguments(tiny_prior, tmp_path, monkeypatch):
    monkeypatch.setattr(residual_examples, "CHUNK", 16)
    monkeypatch.setattr(residual, "CHANNELS", (4, 8))
    monkeypatch.setattr(initialization, "_CHANNELS", 4)
    report = functools.partial(residual_training._Report, batches=1)
    monkeypatch.setattr(residual_training, "_Report", report)
    for i, face in enumerate(tiny_prior.sample(48, seed=4).numpy()):
        write_png(tmp_path / "faces" / f"{i:02d}.png", face)
    tiny_prior.save(tmp_path / "prior")
    return [
        "scripts/train_residual.py", f"--data_dir={tmp_path / 'faces'}",
        f"--model_dir={tmp_path / 'prior'}", f"--work_dir={tmp_path / 'work'}",
        f"--output={tmp_path / 'complete'}", "--encoder_epochs=1", "--epochs=1",
        "--steps_per_epoch=2",
    ]  # fmt: skip


def test_the_script_gives_a_prior_a_start_and_nu(arguments, tmp_path, capsys):
    arguments.append("--realism=0.1")
    assert run_script(*arguments) == 0
    complete, bare = (load_prior(tmp_path / name, "float32") for name in ("complete", "prior"))
    assert bare.encoder is None
    assert complete.encoder.training["steps"] == 2
    assert complete.residual.training["realism"] == 0.1
    assert set(complete.encoder.training["held_out_psnr"]) == set(residual_examples.NAMES)
    for name in ("generator", "discriminator"):
        for a, b in zip(*(getattr(p, name).get_weights() for p in (complete, bare))):
            np.testing.assert_array_equal(a, b)

    # As if killed while nu was trained: the encoder is not trained again; nu goes on from there.
    (tmp_path / "complete").rename(tmp_path / "first")
    assert run_script(*arguments, f"--start_from={tmp_path / 'first'}", "--learning_rate=0") == 0
    again = load_prior(tmp_path / "complete", "float32")
    assert again.residual.training["started_from"]["steps"] == 2
    for part in ("encoder", "residual"):
        for a, b in zip(*(getattr(p, part).network.get_weights() for p in (complete, again))):
            np.testing.assert_array_equal(a, b)

    capsys.readouterr()
    (tmp_path / "complete").rename(tmp_path / "second")
    assert run_script(*arguments, f"--start_from={tmp_path / 'prior'}") == 2
    assert "a network of nu" in capsys.readouterr().err
    assert not (tmp_path / "complete").exists()


def test_the_learning_rate_is_that_of_both_networks(arguments, monkeypatch):
    signature, rates = inspect.signature(residual_training.fit), []

    def recorded(*given, **named):
        rates.append(signature.bind(*given, **named).arguments["learning_rate"])
        return dict.fromkeys(residual_examples.NAMES, 30.0)

    monkeypatch.setattr(residual_training, "fit", recorded)
    assert run_script(*arguments, "--learning_rate=0.003") == 0
    assert rates == [0.003, 0.003]


def test_networks_of_any_kind_get_a_start_and_nu(arguments, tmp_path):
    keras.utils.set_random_seed(3)
    z, images = keras.Input([5]), keras.Input([32, 32, 3])
    drawn = keras.layers.Dense(32 * 32 * 3, activation="tanh")(z)
    generator = keras.Model(z, keras.layers.Reshape([32, 32, 3])(drawn))
    logits = keras.layers.Dense(1)(keras.layers.Flatten()(images))
    own = GanPrior(generator, keras.Model(images, logits), latent.Gaussian(5), crop=None)
    own.save(tmp_path / "own")
    for i, image in enumerate(own.sample(48, seed=4).numpy()):
        write_png(tmp_path / "own_images" / f"{i:02d}.png", image)
    own_arguments = f"--model_dir={tmp_path / 'own'}", f"--data_dir={tmp_path / 'own_images'}"
    assert run_script(*arguments, *own_arguments) == 0
    complete = load_prior(tmp_path / "complete", "float32")
    assert complete.encoder.training["steps"] == 2
    for a, b in zip(complete.generator.get_weights(), own.generator.get_weights()):
        np.testing.assert_array_equal(a, b)
    assert complete.residual.training["steps"] == 2
    task = tasks.super_resolution()
    observed = task.corruption(own.sample(2, seed=9).numpy()).numpy()
    images = Restorer(complete, task).restore(observed).images
    np.testing.assert_allclose(task.operator(images), observed, atol=0.01)


def test_what_was_begun_with_another_generator_is_not_taken_up(arguments, tmp_path, capsys):
    other = make_tiny_prior()
    other.generator.layers[1].kernel.assign(0.5 * other.generator.layers[1].kernel)
    other.save(tmp_path / "work" / "with_encoder")
    assert run_script(*arguments) == 2
    assert "--work_dir" in capsys.readouterr().err
    assert not (tmp_path / "complete").exists()
