"""What tensorflow-addons gives, on the stack that has it; elsewhere, what is said instead."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_scripts import run_script
from test_training import TINY, batches, begin, checkpointed

from tfgpr import addons, operators, training
from tfgpr.errors import InputError
from tfgpr.images import write_png

RADAM = training.Recipe(**{**TINY.__dict__, "optimizer": "Addons>RectifiedAdam"})


def imports():
    try:
        addons.load("a test")
    except InputError:
        return False
    return True


with_addons = pytest.mark.skipif(not imports(), reason="tensorflow-addons does not import")
without_addons = pytest.mark.skipif(imports(), reason="tensorflow-addons imports")


@with_addons
def test_rectified_adam_trains_and_resumes(tmp_path, monkeypatch):
    model_dir = tmp_path / "run"
    training.train(RADAM, batches, 3, 1, model_dir, dtype="float32")
    names = ("steps", "generator/", "generator_optimizer/", "discriminator_optimizer/")
    before = {name: checkpointed(model_dir, name) for name in names}
    moments = [value for value in before["generator_optimizer/"].values() if value.ndim]
    assert sum(np.abs(value).max() > 0 for value in moments) > len(moments) / 2
    training.train(RADAM, batches, 3, 1, model_dir, resume=True, dtype="float32")
    for name in names:
        for key, value in checkpointed(model_dir, name).items():
            np.testing.assert_array_equal(value, before[name][key])
    prior = training.train(RADAM, batches, 3, 2, model_dir, resume=True, dtype="float32")
    assert prior.training["steps"] == 6
    assert prior.training["recipe"]["optimizer"] == "Addons>RectifiedAdam"
    with pytest.raises(InputError, match="Addons>RectifiedAdam then, Adam now"):
        training.train(TINY, batches, 3, 2, model_dir, resume=True)
    state = model_dir / "state.npz"
    begin(monkeypatch, RADAM, tmp_path / "second", start_from=state)
    first, second = (
        checkpointed(tmp_path / run, "generator_optimizer/") for run in ("run", "second")
    )
    for key, value in first.items():
        np.testing.assert_allclose(second[key], value, rtol=8e-3, atol=1e-9)


@with_addons
def test_a_step_of_rectified_adam_is_the_papers():
    """Liu et al. 2020, Algorithm 2: while the variance is intractable, a step of momentum."""
    optimizer = training.make_optimizer("Addons>RectifiedAdam", 0.1, 0.5)
    variable, gradient = tf.Variable([1.0, -2.0]), np.array([0.3, 0.4])
    optimizer.apply_gradients([(tf.constant(gradient, tf.float32), variable)])
    np.testing.assert_allclose(variable, [1.0, -2.0] - 0.1 * gradient, rtol=1e-6)


@with_addons
@pytest.mark.parametrize("sigma", [0.7, 1.5])
def test_blur_equals_addons_gaussian_filter(sigma, rng):
    tfa = addons.load("a test")
    images = rng.random((2, 32, 32, 3), np.float32)
    width = 2 * int(4 * sigma + 0.5) + 1
    expected = tfa.image.gaussian_filter2d(images, (width, width), sigma, padding="SYMMETRIC")
    np.testing.assert_allclose(operators.GaussianBlur(sigma)(images), expected, atol=1e-5)


@with_addons
def test_dense_warp_samples_bilinearly_where_the_flow_points(rng):
    ndimage = pytest.importorskip("scipy.ndimage")
    images = rng.random((2, 24, 32, 3), np.float32)
    flow = 4 * rng.standard_normal((24, 32, 2)).astype(np.float32)
    warp = operators.DenseWarp(flow)
    points = np.mgrid[:24, :32] - np.moveaxis(flow, -1, 0)
    for image, warped in zip(images, warp(images).numpy()):
        for channel in range(3):
            expected = ndimage.map_coordinates(image[..., channel], points, order=1, mode="nearest")
            np.testing.assert_allclose(warped[..., channel], expected, atol=1e-4)
    shift = operators.DenseWarp(np.full((24, 32, 2), (2.0, -3.0)))(images).numpy()
    np.testing.assert_allclose(shift[:, 2:, :-3], images[:, :-2, 3:], atol=1e-6)
    with pytest.raises(InputError, match="flow's size"):
        warp(images[:, :16])
    for bad in (np.zeros((24, 32)), np.full((24, 32, 2), np.nan)):
        with pytest.raises(InputError, match="Expected flow"):
            operators.DenseWarp(bad)


@without_addons
def test_elsewhere_the_stack_that_has_it_is_named(tmp_path, rng, capsys):
    with pytest.raises(InputError, match=r"TensorFlow 2.15: pip install 'tfgpr\[addons\]'"):
        operators.DenseWarp(np.zeros((8, 8, 2)))
    for i in range(2):
        write_png(tmp_path / "in" / f"{i}.png", rng.random((32, 32, 3)))
    arguments = ["--image_size=32", "--nocrop", "--batch_size=2", f"--data_dir={tmp_path / 'in'}"]
    arguments += [f"--model_dir={tmp_path / 'run'}", "--optimizer=Addons>RectifiedAdam"]
    assert run_script("scripts/train.py", *arguments) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: Expected tensorflow-addons for the optimizer")
    assert "tfgpr[addons]" in error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["Adam", "RMSprop", "SGD", "Nadam"])
def test_plain_keras_names_take_the_recipes_rate(name):
    optimizer = training.make_optimizer(name, 3e-4, 0.5)
    assert isinstance(optimizer, getattr(keras.optimizers, name))
    assert float(optimizer.learning_rate) == pytest.approx(3e-4)
    assert getattr(optimizer, "beta_1", 0.5) == 0.5


@pytest.mark.parametrize("name", ["Adamm", "Optimizer", "deserialize", "Mine>Adam", "", "Loss"])
def test_what_is_no_optimizer_is_named(name):
    with pytest.raises(InputError, match=r"name of a Keras optimizer"):
        training.make_optimizer(name, 1e-3, 0.5)


def test_another_optimizer_keeps_its_moments_in_the_small_state(tmp_path, monkeypatch):
    recipe = training.Recipe(**{**TINY.__dict__, "optimizer": "RMSprop"})
    training.train(recipe, batches, 2, 1, tmp_path / "first", dtype="float32")
    state = tmp_path / "first" / "state.npz"
    begin(monkeypatch, recipe, tmp_path / "second", start_from=state, dtype="float32")
    first, second = (
        checkpointed(tmp_path / run, "discriminator_optimizer/") for run in ("first", "second")
    )
    for key, value in first.items():
        np.testing.assert_allclose(second[key], value, rtol=8e-3, atol=1e-9)


def test_runs_from_before_the_choice_go_on(tmp_path):
    model_dir = tmp_path / "run"
    training.train(TINY, batches, 1, 1, model_dir, dtype="float32")
    recipe = json.loads((model_dir / "recipe.json").read_text())
    assert recipe.pop("optimizer") == "Adam"
    (model_dir / "recipe.json").write_text(json.dumps(recipe))
    prior = training.train(TINY, batches, 1, 2, model_dir, resume=True, dtype="float32")
    assert prior.training["steps"] == 2
