"""What the consistency steps promise: agreement with y, and nothing else changed."""

import numpy as np
import pytest
import tensorflow as tf

from tfgpr import consistency, operators
from tfgpr.errors import InputError


def dense_poisson(generated, observed, known):
    """The same linear system, solved densely in float64, one channel."""
    height, width = known.shape
    index = {pixel: i for i, pixel in enumerate(zip(*np.nonzero(~known)))}
    matrix, right = np.zeros((len(index), len(index))), np.zeros(len(index))
    for (r, c), i in index.items():
        for neighbour in ((r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1)):
            if not (0 <= neighbour[0] < height and 0 <= neighbour[1] < width):
                continue
            matrix[i, i] += 1
            right[i] += generated[r, c] - generated[neighbour]
            if neighbour in index:
                matrix[i, index[neighbour]] -= 1
            else:
                right[i] += observed[neighbour]
    result = observed.astype(np.float64).copy()
    result[~known] = np.linalg.solve(matrix, right)
    return result


@pytest.fixture
def problem(rng):
    observed = 0.4 + 0.2 * rng.random((3, 16, 16, 3), np.float32)
    generated = 0.4 + 0.2 * rng.random((3, 16, 16, 3), np.float32)
    known = np.ones((3, 16, 16, 1), np.float32)
    known[0, 4:12, 4:12] = 0
    known[1, :5, 10:] = 0  # touches two borders
    known[2] = rng.random((16, 16, 1)) < 0.3  # scattered
    known[2, 0, 0] = 1
    return generated, observed, known


def test_poisson_blending_equals_a_dense_solve(problem):
    generated, observed, known = problem
    blended = consistency.poisson_blend(generated, observed, known).numpy()
    for i in range(3):
        mask = known[i, :, :, 0] == 1
        for c in range(3):
            expected = dense_poisson(generated[i, :, :, c], observed[i, :, :, c], mask)
            np.testing.assert_allclose(blended[i, :, :, c], np.clip(expected, 0, 1), atol=2e-4)
        np.testing.assert_array_equal(blended[i][mask], observed[i][mask])


def test_poisson_blending_does_not_read_the_hole(problem):
    generated, observed, known = problem
    garbage = np.where(known == 1, observed, np.nan).astype(np.float32)
    np.testing.assert_array_equal(
        consistency.poisson_blend(generated, garbage, known),
        consistency.poisson_blend(generated, observed, known),
    )


def test_poisson_blending_of_one_image_ignores_the_others(problem):
    generated, observed, known = problem
    together = consistency.poisson_blend(generated, observed, known).numpy()
    for i in range(3):
        one = slice(i, i + 1)
        alone = consistency.poisson_blend(generated[one], observed[one], known[one])
        np.testing.assert_array_equal(alone, together[one])


def test_poisson_blending_of_the_truth_is_the_truth(problem):
    _, observed, known = problem
    np.testing.assert_allclose(
        consistency.poisson_blend(observed + 0.1, observed, known), observed, atol=1e-4
    )


def test_poisson_blending_without_a_known_pixel_is_the_generated_image(problem):
    generated, observed, known = problem
    np.testing.assert_array_equal(
        consistency.poisson_blend(generated, observed, 0 * known), generated
    )


@pytest.mark.parametrize("method", ["bicubic", "gaussian", "box"])
def test_back_projection_is_the_nearest_image_that_agrees(method, rng):
    operator = operators.Downsample(4, method)
    truth = 0.3 + 0.4 * rng.random((2, 32, 32, 3), np.float32)
    observed = operator(truth).numpy()
    start = 0.3 + 0.4 * rng.random((2, 32, 32, 3), np.float32)
    projected = consistency.BackProjection(operator)(tf.constant(start), observed).numpy()
    np.testing.assert_allclose(operator(projected), observed, atol=1e-4)
    # The nearest: what changed is wholly of what A sees.
    change = projected - start
    np.testing.assert_allclose(_seen_part(operator, change), change, atol=1e-4)


def _seen_part(operator, images):
    rows = operator.matrix(images.shape[1])
    projector = np.linalg.pinv(rows) @ rows
    return np.einsum("hi,biwc,wj->bhjc", projector, images, projector.T)


def test_shift_luma_gives_the_observed_luma_and_keeps_color_differences(rng):
    generated = 0.4 + 0.2 * rng.random((2, 8, 8, 3), np.float32)
    observed = 0.4 + 0.2 * rng.random((2, 8, 8, 1), np.float32)
    shifted = consistency.shift_luma(tf.constant(generated), observed).numpy()
    np.testing.assert_allclose(shifted @ np.array(operators.REC_601), observed[..., 0], atol=1e-6)
    np.testing.assert_allclose(np.diff(shifted), np.diff(generated), atol=1e-6)


def test_scale_value_gives_the_observed_value_and_keeps_ratios(rng):
    generated = 0.4 + 0.2 * rng.random((2, 8, 8, 3), np.float32)
    generated[0, 0, 0] = 0
    observed = 0.4 + 0.2 * rng.random((2, 8, 8, 1), np.float32)
    scaled = consistency.scale_value(tf.constant(generated), observed).numpy()
    np.testing.assert_allclose(scaled.max(axis=-1), observed[..., 0], atol=1e-6)
    ratio = generated[1] / generated[1].max(axis=-1, keepdims=True)
    np.testing.assert_allclose(scaled[1] / scaled[1].max(axis=-1, keepdims=True), ratio, atol=1e-5)


def test_clip_to_cell_requantises_to_what_was_observed(rng):
    observed = np.round(4 * rng.random((2, 8, 8, 3), np.float32)) / 4
    generated = rng.random((2, 8, 8, 3), np.float32)
    clipped = consistency.ClipToCell(4)(tf.constant(generated), observed).numpy()
    assert np.abs(clipped - observed).max() <= 0.125 + 1e-6
    inside = np.abs(generated - observed) < 0.125
    np.testing.assert_array_equal(clipped[inside], generated[inside])


def test_keep_only_clips():
    generated = tf.constant([[[[-0.5, 0.25, 1.5]]]])
    np.testing.assert_array_equal(consistency.keep(generated, None), [[[[0, 0.25, 1]]]])


@pytest.mark.parametrize("smoothness", [0.0, 0.7])
@pytest.mark.parametrize("operator", [operators.GaussianBlur(0.8), operators.Downsample(4, "box")])
def test_the_least_change_is_the_pseudo_inverse_s(operator, smoothness, problem):
    generated, observed, _ = problem
    measured = operator(observed).numpy()
    small = operator(np.eye(256, dtype=np.float32).reshape(256, 16, 16, 1)).numpy()
    matrix = small.reshape(256, -1).T.astype(np.float64)  # A, column by column
    missing = (measured - operator(generated).numpy()).reshape(3, -1, 3)
    spread = np.eye(256)
    if smoothness:
        blur = operators.GaussianBlur(smoothness).matrix(16)
        spread = 0.1 * spread + np.kron(blur, blur)
    inverse = spread @ np.linalg.pinv(matrix @ spread)
    change = np.einsum("pm,bmc->bpc", inverse, missing).reshape(3, 16, 16, 3)
    step = tf.function(consistency.LeastChange(operator, 2000, 1e-7, smoothness))
    found = step(tf.constant(generated), tf.constant(measured)).numpy()
    np.testing.assert_allclose(found, np.clip(generated + change, 0, 1), atol=2e-3)


def test_the_least_change_with_a_mask_fills_in_what_is_known(problem):
    generated, observed, known = problem
    step = consistency.LeastChange(operators.Inpainting())
    found = step(generated, observed * known, known=known).numpy()
    np.testing.assert_allclose(found, np.where(known == 1, observed, generated), atol=1e-6)
    alone = step(generated[1:2], observed[1:2] * known[1:2], known=known[1:2])
    np.testing.assert_allclose(found[1:2], alone, atol=1e-6)


def test_the_least_change_for_an_image_does_not_depend_on_its_mates(problem):
    generated, observed, _ = problem
    operator = operators.GaussianBlur(1.0)
    generated = generated.copy()
    generated[0] = observed[0]  # agrees already
    measured = operator(observed)
    step = tf.function(
        consistency.LeastChange(operator, 20),
        input_signature=2 * [tf.TensorSpec([None, 16, 16, 3])],
    )
    whole = step(tf.constant(generated), measured).numpy()
    np.testing.assert_allclose(whole[0], observed[0], atol=1e-5)
    for row in range(3):
        alone = step(tf.constant(generated[row : row + 1]), measured[row : row + 1])
        np.testing.assert_allclose(whole[row : row + 1], alone, atol=1e-6)


def test_the_least_change_needs_a_linear_operator():
    with pytest.raises(InputError, match="Quantize"):
        consistency.LeastChange(operators.Quantize(4))
