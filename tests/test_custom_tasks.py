"""Tasks of your own operators: measurements of any shape, masks before them, further terms."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgpr
from tfgpr import operators, serving
from tfgpr.errors import InputError
from tfgpr.serving.local_server import LocalServer


class RowMeans(operators.Operator):
    """`[batch, height]`."""

    def call(self, images):
        return tf.reduce_mean(images, axis=[2, 3])


def test_measurements_need_not_be_images(pale_prior):
    clean = pale_prior.sample(3, seed=1).numpy()
    task = tfgpr.tasks.custom("row_means", RowMeans())
    assert task.measured_shape((32, 32, 3)) == (32,)
    method = task.default.with_iterations(3)
    restorer = tfgpr.Restorer(pale_prior, task, method)
    result = restorer.restore(clean.mean(axis=(2, 3)))
    assert 0 < result.images.min() < result.images.max() < 1
    np.testing.assert_allclose(result.images.mean(axis=(2, 3)), result.observed, atol=1e-4)
    alone = restorer.restore(clean[1].mean(axis=(1, 2)))
    np.testing.assert_allclose(alone.images, result.images[1:2], atol=1e-4)
    picture = np.asarray(result.plot(originals=clean))
    assert picture.shape[1] == 3 * 66 + 2, "means are no picture: G(z), restored, original"
    for bad in (np.zeros((2, 31)), np.zeros((2, 32, 1)), np.zeros((0, 32)), np.full(32, 7.0)):
        with pytest.raises(InputError, match="Expected observations"):
            restorer.restore(bad)


def test_tasks_observe_with_the_hole_in_the_centre_and_the_noise_of_each_image(rng):
    clean = rng.random((3, 32, 32, 3), np.float32)
    observed, conditions = tfgpr.tasks.inpainting().observe(clean)
    hole = np.s_[:, 8:24, 8:24]
    assert not observed[hole].any()
    assert not conditions["known"][hole].any()
    assert conditions["known"].sum() == 3 * (32**2 - 16**2)
    np.testing.assert_array_equal(observed[:, :8], clean[:, :8])
    noisy, conditions = tfgpr.tasks.denoising().observe(clean, seed=5, first=1)
    assert conditions == {}
    alone = tfgpr.tasks.denoising().corruption(clean[1:2], seed=5, first=2)
    np.testing.assert_allclose(noisy[1:2], alone, atol=1e-6)


def test_a_mask_before_a_smaller_measurement(tiny_prior):
    clean = tiny_prior.sample(2, seed=1).numpy()
    operator = operators.Compose([operators.Inpainting(), operators.Downsample(2, "box")])
    task = tfgpr.tasks.custom("masked_and_small", operator)
    known = tfgpr.tasks.center_hole(32)
    observed = task.corruption(clean, known=known).numpy()
    small = (clean * known).reshape(2, 16, 2, 16, 2, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(observed, small, atol=1e-5)
    restorer = tfgpr.Restorer(tiny_prior, task, task.default.with_iterations(3))
    result = restorer.restore(observed, known=known)
    np.testing.assert_array_equal(result.observed, observed)


def test_noise_or_a_nonlinear_operator_keeps_what_was_drawn(tiny_prior):
    for task in (
        tfgpr.tasks.custom("noisy", operators.Identity(), 0.1, observed_range=(-1, 2)),
        tfgpr.tasks.custom("coarse", operators.Quantize(4)),
    ):
        method = dataclasses.replace(task.default.with_iterations(2), residual=False)
        observed = task.corruption(tiny_prior.sample(1, seed=2))
        result = tfgpr.Restorer(tiny_prior, task, method).restore(observed)
        np.testing.assert_array_equal(result.images, result.generated)


def test_a_further_term_pulls_the_search(tiny_prior):
    target = np.linspace(-0.5, 0.5, 6, dtype=np.float32)

    def near(z, images):
        del images
        return tf.reduce_sum((z - target) ** 2, axis=1)

    task = tfgpr.tasks.denoising()
    method = dataclasses.replace(task.default.with_iterations(150), terms=((1e6, near),))
    result = tfgpr.Restorer(tiny_prior, task, method).restore(tiny_prior.sample(1, seed=3))
    np.testing.assert_allclose(result.latent[0], target, atol=0.02)


def test_an_export_of_one_task_needs_no_name_for_the_default(tiny_prior, tmp_path):
    task = tfgpr.tasks.custom("row_means", RowMeans())
    path = serving.export_savedmodel(tiny_prior, tmp_path, tasks=[task], iterations=3)
    loaded = tf.saved_model.load(str(path)).signatures
    observed = tiny_prior.sample(1, seed=1).numpy().mean(axis=(2, 3))
    served = loaded["serving_default"](observed=tf.constant(observed))["restored"].numpy()
    restorer = tfgpr.Restorer(tiny_prior, task, task.default.with_iterations(3))
    np.testing.assert_allclose(served, restorer.restore(observed).images, atol=1e-4)


def test_a_server_takes_measurements_that_are_no_images(tiny_prior, tmp_path):
    task = tfgpr.tasks.custom("row_means", RowMeans())
    serving.export_savedmodel(tiny_prior, tmp_path, tasks=[task], iterations=3)
    observed = tiny_prior.sample(2, seed=1).numpy().mean(axis=(2, 3))
    restorer = tfgpr.Restorer(tiny_prior, task, task.default.with_iterations(3))
    with (
        LocalServer(tmp_path, warm_up=False, poll_seconds=0, log=lambda line: None) as server,
        serving.RestoreClient(f"localhost:{server.port}", batch_size=1) as client,
    ):
        found = client.restore("row_means", observed)
        alone = client.restore("row_means", observed[1])
        for bad in (np.zeros((2, 31)), np.zeros((2, 32, 1)), np.zeros((0, 32))):
            with pytest.raises(InputError, match=r"observed of shape \[batch, 32\]"):
                client.restore("row_means", bad)
    np.testing.assert_allclose(found.images, restorer.restore(observed).images, atol=1e-4)
    np.testing.assert_array_equal(found.observed, observed)
    np.testing.assert_array_equal(alone.images, found.images[1:])


def test_light_that_was_blurred_into_the_hole_is_evidence(tiny_prior):
    """After the mask comes an operator that mixes pixels: nothing of y may be hidden."""
    clean = tiny_prior.sample(2, seed=1).numpy()
    known = tfgpr.tasks.center_hole(32)
    inpainting, blur, luma = operators.Inpainting(), operators.GaussianBlur(2.0), operators.Luma()
    mixed = tfgpr.tasks.custom("mixed", operators.Compose([inpainting, blur]))
    observed = mixed.corruption(clean, known=known).numpy()
    inside = observed[:, 12:20, 12:20]
    assert inside.min() > 0
    checked, _ = mixed.check(observed, (32, 32, 3), known=known)
    np.testing.assert_array_equal(checked, observed)
    for after in ([luma], [operators.Compose([operators.Identity(), luma])], []):
        task = tfgpr.tasks.custom("plain", operators.Compose([blur, inpainting, *after]))
        garbage = np.ones([2, *task.measured_shape((32, 32, 3))], np.float32)
        checked, _ = task.check(garbage, (32, 32, 3), known=known)
        np.testing.assert_array_equal(checked, np.broadcast_to(known, garbage.shape))


@pytest.mark.parametrize("noise", [0.05, 0.5])
def test_a_task_takes_what_its_own_corruption_makes(noise):
    clean = np.float32([0, 1])[:, None, None, None] * np.ones([2, 32, 32, 3], np.float32)
    for task in (
        tfgpr.tasks.denoising(noise),
        tfgpr.tasks.custom("blurred", operators.GaussianBlur(2.0), noise),
    ):
        observed = task.corruption(clean, seed=1).numpy()
        assert observed.min() < 0
        checked, _ = task.check(observed, (32, 32, 3))
        np.testing.assert_array_equal(checked, observed)
        with pytest.raises(InputError, match="observed_range"):
            task.check(observed + 30 * noise, (32, 32, 3))


MISTAKES = {
    "no operator": (lambda: tfgpr.tasks.custom("pool", keras.layers.ReLU()), "subclass"),
    "negative noise": (lambda: tfgpr.tasks.denoising(-1.0), "noise_stddev"),
    "no noise": (lambda: tfgpr.tasks.custom("a", operators.Luma(), float("nan")), "noise_stddev"),
    "no steps": (lambda: tfgpr.tasks.dequantization(0), "steps"),
    "half a step": (lambda: tfgpr.Method(iterations=20.5), "whole number"),
    "steps without a number": (lambda: tfgpr.Method(iterations=float("nan")), "whole number"),
    "no weight": (lambda: tfgpr.Method(weight=float("nan")), "finite weight"),
    "more starts than a bank has": (
        lambda: tfgpr.Method(starts=5, initialization=tfgpr.initialization.Screened(4)),
        "a bank of 4",
    ),
    "no mask": (lambda: tfgpr.tasks.inpainting().corruption(tfgpr.example_face()), "known"),
    "mask": (
        lambda: tfgpr.tasks.denoising().corruption(tfgpr.example_face(), known=np.ones([1])),
        "no condition",
    ),
}


@pytest.mark.parametrize(("make", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_in_the_making_of_a_task_are_named(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_a_mask_of_whole_numbers_is_a_mask(tiny_prior):
    known = tfgpr.tasks.center_hole(32)
    task = tfgpr.tasks.inpainting()
    observed = tiny_prior.sample(1).numpy() * known
    for given in (known.astype(np.uint8), known.astype(np.int64), known > 0, 255 * np.uint8(known)):
        _, checked = task.check(observed, (32, 32, 3), known=given)
        np.testing.assert_array_equal(checked["known"], known)
    with pytest.raises(InputError, match="threshold"):
        task.check(observed, (32, 32, 3), known=100 * np.uint8(known))
