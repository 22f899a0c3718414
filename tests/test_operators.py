"""Each operator against an independent computation."""

import colorsys

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tfgpr import operators
from tfgpr.errors import InputError


@pytest.fixture
def images(rng):
    return rng.random((3, 32, 32, 3), np.float32)


def test_inpainting_keeps_known_pixels_and_zeroes_others(images, rng):
    known = (rng.random((3, 32, 32, 1)) < 0.5).astype(np.float32)
    measured = operators.Inpainting()(images, known=known).numpy()
    for image, mask, result in zip(images, known[..., 0] == 1, measured):
        np.testing.assert_array_equal(result[mask], image[mask])
        assert not result[~mask].any()


def test_luma_equals_pillows_conversion(images):
    measured = operators.Luma()(images).numpy()[..., 0]
    pillow = [PIL.Image.fromarray(np.uint8(np.round(x * 255))).convert("L") for x in images]
    np.testing.assert_allclose(measured, np.stack(pillow) / 255, atol=1.01 / 255)


def test_value_is_the_v_of_hsv(images):
    measured = operators.Value()(images).numpy()
    v = [colorsys.rgb_to_hsv(*map(float, pixel))[2] for pixel in images[0].reshape(-1, 3)]
    np.testing.assert_allclose(measured[0].ravel(), v, rtol=1e-6)


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_bicubic_downsample_equals_pillow_and_tensorflow(images, factor):
    measured = operators.Downsample(factor)(images).numpy()
    size = 32 // factor
    channels = [
        PIL.Image.fromarray(images[0, :, :, c]).resize((size, size), PIL.Image.Resampling.BICUBIC)
        for c in range(3)
    ]
    np.testing.assert_allclose(measured[0], np.stack(channels, axis=-1), atol=1e-5)
    resized = tf.image.resize(images, [size, size], "bicubic", antialias=True)
    np.testing.assert_allclose(measured, resized, atol=1e-5)


def test_box_downsample_is_the_mean_of_blocks(images):
    measured = operators.Downsample(4, "box")(images)
    blocks = images.reshape(3, 8, 4, 8, 4, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(measured, blocks, atol=1e-6)


def test_gaussian_downsample_weighs_by_distance():
    row = operators.Downsample(4, "gaussian").matrix(64)[8]
    distance = np.arange(64) + 0.5 - 34.0
    expected = np.exp(-0.5 * (distance / 2.0) ** 2)
    np.testing.assert_allclose(row, expected / expected.sum(), rtol=1e-9)


@pytest.mark.parametrize("method", ["bicubic", "gaussian", "box"])
def test_downsample_keeps_constants_at_the_border(method):
    gray = np.full((1, 32, 32, 3), 0.3, np.float32)
    np.testing.assert_allclose(operators.Downsample(4, method)(gray), 0.3, atol=1e-6)


def test_gaussian_blur_equals_direct_convolution_of_the_mirrored_image(images):
    sigma, radius = 1.3, 5
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    weights /= weights.sum()
    expected = images[0].astype(np.float64)
    for axis in (0, 1):
        pad = [(0, 0)] * 3
        pad[axis] = (radius, radius)
        padded = np.pad(expected, pad, mode="symmetric")
        expected = sum(
            w * np.take(padded, np.arange(32) + i, axis=axis) for i, w in enumerate(weights)
        )
    measured = operators.GaussianBlur(sigma)(images).numpy()[0]
    np.testing.assert_allclose(measured, expected, atol=1e-5)


def test_gaussian_blur_wider_than_the_image_keeps_the_mean(images):
    blurred = operators.GaussianBlur(30.0)(images).numpy()
    np.testing.assert_allclose(blurred.mean((1, 2)), images.mean((1, 2)), atol=1e-5)


@pytest.mark.parametrize(
    ("steps", "floor"), [(1, False), (4, False), (255, False), (4, True), (3.9, True)]
)
def test_quantize_rounds_and_passes_the_gradient_through(images, steps, floor):
    quantize = operators.Quantize(steps, floor)
    rounded = (np.floor if floor else np.round)(np.float32(steps) * images) / steps
    np.testing.assert_allclose(quantize(images), rounded, atol=1e-6)
    x = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(quantize(x) * images)
    np.testing.assert_allclose(tape.gradient(total, x), images)


def test_compose_applies_in_order_and_passes_conditions_on(images, rng):
    known = (rng.random((3, 32, 32, 1)) < 0.5).astype(np.float32)
    both = operators.Compose([operators.Inpainting(), operators.Downsample(2, "box")])
    assert both.conditions == ("known",)
    expected = (images * known).reshape(3, 16, 2, 16, 2, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(both(images, known=known), expected, atol=1e-6)
    assert not operators.Compose([operators.Luma(), operators.Quantize()]).linear


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: operators.Downsample(0), "factor"),
        (lambda: operators.Downsample(4, "nearest"), "bicubic"),
        (lambda: operators.Downsample(5)(np.zeros((1, 32, 32, 3), np.float32)), "divides"),
        (lambda: operators.GaussianBlur(0), "sigma > 0"),
        (lambda: operators.Quantize(0), "steps"),
        (lambda: operators.Compose([]), "at least one"),
        (lambda: operators.Value().adjoint(np.zeros((1, 8, 8, 1)), (8, 8, 3)), "not linear"),
    ],
)
def test_bad_arguments_are_named(make, message):
    with pytest.raises(InputError, match=message):
        make()
