"""nu: what y says of x, the network that learns the rest, and where it enters."""

import dataclasses
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgpr
from tfgpr import residual, residual_examples, residual_training, tasks
from tfgpr.baselines.tv import minimize_total_variation
from tfgpr.errors import InputError
from tfgpr.images import as_images as images_of
from tfgpr.initialization import Encoded, Screened
from tfgpr.objective import DataFidelity
from tfgpr.operators import Downsample, Luma, Value
from tfgpr.prior import load_prior
from tfgpr.residual import Residual
from tfgpr.total_variation import TotalVariation

LUMA = np.array([0.299, 0.587, 0.114])


def images(rng, count=3, size=32):
    return rng.random((count, size, size, 3), np.float32)


def test_evidence_of_known_pixels_is_y_there_and_the_drawing_in_the_hole(rng):
    x, drawn = images(rng), images(rng)
    known = (rng.random((3, 32, 32, 1)) < 0.5).astype(np.float32)
    found = residual.known_pixels(drawn, x * known, known)
    np.testing.assert_array_equal(found.images, np.where(known > 0, x, drawn))
    for channel, expected in enumerate((1 - known, 1 - known, 0 * known)):
        np.testing.assert_array_equal(found.uncertainty[..., channel : channel + 1], expected)


def test_evidence_of_luma_has_that_luma_and_the_color_of_the_drawing(rng):
    x, drawn = images(rng), images(rng)
    found = residual.known_luma(drawn, Luma()(x))
    np.testing.assert_allclose(found.images.numpy() @ LUMA, x @ LUMA, atol=1e-6)
    color = np.asarray(found.images) - np.asarray(found.images)[..., :1]
    np.testing.assert_allclose(color, drawn - drawn[..., :1], atol=1e-6)
    np.testing.assert_array_equal(found.uncertainty, np.full(x.shape, (0, 1, 0)))


def test_evidence_of_low_frequencies_is_the_nearest_image_with_them(rng):
    """By least squares on the whole matrix of A, one channel of 16x16 pixels."""
    operator = Downsample(4)
    x, drawn = rng.random((1, 16, 16, 3), np.float32), rng.random((1, 16, 16, 3), np.float32)
    found, uncertainty = residual.LowFrequencies(operator, 4)(drawn, operator(x))
    matrix = np.kron(operator.matrix(16), operator.matrix(16))
    for channel in range(3):
        missing = matrix @ (x - drawn)[0, ..., channel].ravel()
        step = np.linalg.lstsq(matrix, missing, rcond=None)[0]
        expected = drawn[0, ..., channel].ravel() + step
        np.testing.assert_allclose(np.ravel(found[0, ..., channel]), expected, atol=1e-4)
    np.testing.assert_array_equal(uncertainty, np.full(x.shape, (0, 0, 0.75)))


def test_rounds_for_any_linear_operator_start_at_the_drawing_and_agree_with_y(rng):
    operator = Downsample(4)
    task = tasks.custom("enlarging", operator)
    x, drawn = tf.constant(images(rng)), tf.constant(images(rng))
    stddevs = []
    for evidence in task.evidence:
        found = evidence(drawn, operator(x))
        np.testing.assert_allclose(operator(found.images), operator(x), atol=0.01)
        stddevs.append(float(found.uncertainty[0, 0, 0, 0]))
    assert stddevs == sorted(stddevs, reverse=True)
    assert tasks.custom("value", Value()).evidence == ()


def test_quantization_errors_have_the_stated_deviation(rng):
    x = rng.random(200_000)
    for steps in (2, 4, 16):
        error = np.round(x * steps) / steps - x
        assert residual.quantization_stddev(steps) == pytest.approx(error.std(), rel=0.02)


@pytest.mark.parametrize("name", tasks.TASKS)
def test_an_untrained_network_leaves_the_evidence_as_it_is(tiny_prior, rng, name):
    task = tasks.TASKS[name]()
    x = images(rng)
    observed, given = task.observe(x)
    method = task.default.with_iterations(2)
    without = dataclasses.replace(method, residual=False)
    before = tfgpr.Restorer(tiny_prior, task, without).restore(observed, **given)
    complete = copy_with(tiny_prior, Residual.untrained({"image_size": 32, "channels": [4]}))
    after = tfgpr.Restorer(complete, task, method).restore(observed, **given)
    np.testing.assert_array_equal(after.generated, before.generated)
    evidence = task.evidence[0](before.generated, observed, **given).images
    expected = task.consistency(evidence, observed, **given)
    np.testing.assert_allclose(after.images, expected, atol=1e-5)
    alone = tfgpr.Restorer(complete, task, without).restore(observed, **given)
    np.testing.assert_array_equal(alone.images, before.images)


def copy_with(prior, learned):
    copied = tfgpr.GanPrior(prior.generator, prior.discriminator, prior.latent, prior.crop)
    copied.architecture = prior.architecture
    copied.residual = learned
    return copied


def test_an_image_is_restored_the_same_alone_and_in_a_batch(complete_prior, rng):
    task = tasks.denoising()
    observed = task.corruption(images(rng)).numpy()
    restorer = tfgpr.Restorer(complete_prior, task, task.default.with_iterations(3))
    together = restorer.restore(observed).images
    for row in range(3):
        alone = restorer.restore(observed[row : row + 1]).images
        np.testing.assert_allclose(alone[0], together[row], atol=2e-5)


def test_grain_is_a_share_of_what_was_taken_from_the_observation(complete_prior, rng):
    task = tasks.denoising()
    observed = task.corruption(images(rng)).numpy()

    def restored(grain, **changed):
        method = dataclasses.replace(task.default.with_iterations(1), grain=grain, **changed)
        return tfgpr.Restorer(complete_prior, task, method).restore(observed).images

    smooth = restored(0.0)
    inside = (smooth > 0) & (smooth < 1)  # not clipped
    expected = np.clip(0.75 * smooth + 0.25 * observed, 0, 1)
    assert np.abs(expected - smooth)[inside].max() > 0.05
    np.testing.assert_allclose(restored(0.25)[inside], expected[inside], atol=1e-5)
    np.testing.assert_array_equal(restored(0.25, residual=False), restored(0.0, residual=False))
    with pytest.raises(InputError, match=r"grain as a share, in \[0, 1\]. Received: 1.5"):
        restored(1.5)


def test_where_nothing_is_learned_nu_has_the_least_total_variation(rng):
    x, drawn = images(rng), images(rng)
    stddev = np.full((3, 32, 32, 1), 0.1, np.float32)
    found = residual.evidence(tf.constant(x), tf.constant(stddev), tf.constant(stddev))
    restored = TotalVariation(trust=0.5, iterations=30)(found, tf.constant(drawn))

    def prox(r, step):
        return (r + step * 5.0 * (x - drawn)) / (1.0 + step * 5.0)

    nu, _ = minimize_total_variation(prox, x - drawn, 30)
    assert np.abs(nu - (x - drawn)).max() > 0.1
    np.testing.assert_allclose(restored, drawn + nu, atol=1e-5)


def test_where_y_is_exact_or_silent_that_nu_is_left_to_consistency(rng):
    x, drawn = images(rng), images(rng)
    known = (rng.random((3, 32, 32, 1)) < 0.5).astype(np.float32)
    found = residual.known_pixels(drawn, x * known, known)
    np.testing.assert_array_equal(TotalVariation()(found, drawn), drawn)


def test_a_prior_without_nu_denoises_better_than_its_drawing(tiny_prior):
    task = tasks.denoising()
    smooth = np.linspace(0.2, 0.8, 32, dtype=np.float32)[None, :, None, None]
    clean = np.broadcast_to(smooth, (2, 32, 32, 3))
    observed = task.corruption(clean).numpy()

    def error(residual):
        method = dataclasses.replace(task.default.with_iterations(2), residual=residual)
        found = tfgpr.Restorer(tiny_prior, task, method).restore(observed)
        return float(np.mean((found.images - clean) ** 2))

    assert error(True) < 0.95 * np.mean((observed - clean) ** 2) < error(False)


def test_nu_is_saved_with_the_prior(complete_prior, rng, tmp_path):
    complete_prior.save(tmp_path / "prior")
    read = load_prior(tmp_path / "prior", "float32")
    drawn, x = tf.constant(images(rng)), tf.constant(images(rng))
    found = residual.Evidence(x, tf.zeros_like(x))
    expected = complete_prior.residual(found, drawn)
    assert np.abs(expected - found.images).max() > 0.05
    np.testing.assert_allclose(read.residual(found, drawn), expected, atol=5e-3)  # float16


def test_a_damaged_network_of_nu_is_named(complete_prior, tmp_path):
    complete_prior.save(tmp_path / "prior")
    (tmp_path / "prior" / "residual.npz").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"residual\.npz"):
        load_prior(tmp_path / "prior")


def test_masks_hide_something_and_show_something():
    for index in range(40):
        known = residual_examples.random_mask(index, 32)
        assert 0 < known.mean() < 1
        np.testing.assert_array_equal(known, residual_examples.random_mask(index, 32))


@pytest.fixture(scope="module")
def searched(tiny_prior, tmp_path_factory):
    """Smooth images of one hue, which no search of the tiny prior can draw, their z*, and where
    these are kept."""
    slopes = np.random.default_rng(0).uniform(-0.3, 0.3, (32, 2, 1, 1))
    down, right = np.meshgrid(np.linspace(-1, 1, 32), np.linspace(-1, 1, 32), indexing="ij")
    gray = 0.5 + slopes[:, 0] * down + slopes[:, 1] * right
    clean = (255 * gray[..., None] * [1.0, 0.7, 0.4] * 0.9).astype(np.uint8)
    folder = tmp_path_factory.mktemp("latents")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(residual_examples, "CHUNK", 16)
        return clean, residual_examples.search_latents(tiny_prior, clean, folder), folder


def test_latents_are_searched_once(tiny_prior, complete_prior, searched, monkeypatch):
    monkeypatch.setattr(residual_examples, "CHUNK", 16)
    clean, latents, folder = searched
    indices = {name: found[0].tolist() for name, found in latents.items()}
    assert indices["inpainting"] == [*range(32)]
    assert sorted(indices["colorization"] + indices["super_resolution"]) == [*range(32)]
    files = sorted(folder.iterdir())
    before = [file.stat().st_mtime_ns for file in files]
    files[1].unlink()  # as if killed before the second
    opened, load = [], np.load
    monkeypatch.setattr(np, "load", lambda file: opened.append(load(file)) or opened[-1])
    again = residual_examples.search_latents(tiny_prior, clean, folder)
    assert [each.fid for each in opened] == [None, None], "closed"
    assert files[0].stat().st_mtime_ns == before[0]
    for name in latents:
        np.testing.assert_allclose(again[name][1], latents[name][1], atol=1e-5)
    with pytest.raises(InputError, match="work_dir"):  # other images
        residual_examples.search_latents(tiny_prior, clean[::-1], folder)
    with pytest.raises(InputError, match="work_dir"):  # another prior
        residual_examples.search_latents(complete_prior, clean, folder)


def test_one_image_is_a_stretch_too(tiny_prior, rng, tmp_path):
    image = rng.integers(0, 256, (1, 32, 32, 3), np.uint8)
    found = residual_examples.search_latents(tiny_prior, image, tmp_path)
    assert {name: z.shape for name, (_, z) in found.items()} == {
        "inpainting": (1, 6),
        "colorization": (0, 6),
        "super_resolution": (1, 6),
    }


def test_examples_show_an_image_beside_its_own_drawing_and_mask(rng):
    """G draws by a table, z being the row: one of its own for each image and kind of search."""
    clean = rng.integers(0, 256, (24, 32, 32, 3), np.uint8)
    table = rng.integers(0, 256, (3, 24, 32, 32, 3)) / np.float32(255)
    rows = table.reshape(72, 32, 32, 3)
    prior = types.SimpleNamespace(
        image_size=32, generate=lambda z: tf.gather(rows, tf.cast(z[:, 0], tf.int32))
    )
    searched = [np.arange(24), *np.split(np.arange(24), 2)]  # as `search_latents` shares them
    latents = {
        name: (indices, np.float32(24 * kind + indices)[:, None])
        for kind, (name, indices) in enumerate(zip(residual_examples.NAMES, searched))
    }
    examples = residual_examples.Examples(prior, clean, latents, first=100)
    inputs, missing = examples.batch(0)
    evidence, uncertainty, drawn = map(np.array, inputs)
    evidence, drawn, missing = evidence + 0.5, drawn + 0.5, missing.numpy()
    x = evidence + missing
    mean = table[2, 12:].mean(axis=0)
    turned, seen = 0, set()
    for row in range(80):
        kind = min(row // 16, 2)
        ways = np.stack([clean, clean[:, :, ::-1]]) / np.float32(255)
        ((mirrored, index),) = np.argwhere(np.abs(ways - x[row]).max(axis=(2, 3, 4)) < 1e-5)
        beside_mean = row % 16 >= (12 if kind < 2 else 8)
        expected = mean if beside_mean else table[kind, index]
        assert beside_mean or index in searched[kind]
        known = residual_examples.random_mask(100 + index, 32)
        if mirrored:
            expected, known = expected[:, ::-1], known[:, ::-1]
        np.testing.assert_allclose(drawn[row], expected, atol=0.51 / 255)  # kept as uint8
        if kind == 0:
            hole = 1 - known
            np.testing.assert_array_equal(uncertainty[row], hole * np.float32([1, 1, 0]))
            np.testing.assert_allclose(evidence[row], known * x[row] + hole * drawn[row], atol=1e-5)
        turned += mirrored
        seen.add(index)
    assert 20 < turned < 60
    assert len(seen) > 16
    for row in range(48, 80):  # denoising and dequantization
        assert (uncertainty[row] == uncertainty[row, 0, 0] * [1, 1, 0]).all()
        assert missing[row].std() == pytest.approx(uncertainty[row, 0, 0, 0], rel=0.06)
    assert len(np.unique(uncertainty[48:64, 0, 0, 0])) == 16
    small, given = (tf.constant(each[32:48]) for each in (x, evidence))
    for factor, at in ((2, slice(0, None, 4)), (4, slice(1, None, 4))):
        operator = Downsample(factor)
        np.testing.assert_allclose(operator(given[at]), operator(small[at]), atol=1e-4)
        unreached = uncertainty[32:48][at]
        np.testing.assert_array_equal(unreached, np.full_like(unreached, (0, 0, 1 - 1 / factor)))


def test_training_beats_its_evidence_on_every_task(tiny_prior, searched, tmp_path):
    clean, latents, _ = searched
    examples = residual_examples.Examples(tiny_prior, clean, latents)
    keras.utils.set_random_seed(4)
    network = residual.residual_network(32, [8, 16])
    _, missing = examples.batch(0)
    evidence = -10 * np.log10(np.mean(missing.numpy() ** 2, axis=(1, 2, 3)))
    psnr = residual_training.fit(
        network,
        examples,
        examples,
        tmp_path / "run",
        epochs=2,
        steps_per_epoch=60,
        learning_rate=1e-2,
        seed=0,
    )
    assert list(psnr) == list(residual_examples.NAMES)
    for before, (name, after) in zip(evidence.reshape(5, -1).mean(axis=1), psnr.items()):
        assert after > before + 0.5, (name, before, after)
    assert len((tmp_path / "run" / "log.csv").read_text().splitlines()) == 3


def test_the_encoder_learns_where_the_search_should_start(tiny_prior, tmp_path):
    """Images that G draws: each task's start comes to lie nearer to them than a random one."""
    prior = copy_with(tiny_prior, None)
    clean = np.uint8(np.round(255 * np.asarray(prior.sample(96, seed=2))))
    examples = residual_examples.Examples(prior, clean)
    weights = prior.generator.get_weights()
    keras.utils.set_random_seed(4)
    residual_training.fit_encoder(prior, examples, examples, tmp_path / "run", 2, 60, seed=0)
    for before, after in zip(weights, prior.generator.get_weights()):
        np.testing.assert_array_equal(before, after)
    assert prior.generator.trainable
    x = images_of(clean[:16])
    for name in ("inpainting", "super_resolution", "denoising"):
        task = tasks.TASKS[name]()
        observed, given = task.observe(x)
        data = DataFidelity(task.operator)

        def error(start, given=given, observed=observed, data=data):
            z = start(prior, data, observed, 1, 0, **given)[:, 0]
            return float(tf.reduce_mean((prior.generate(z) - x) ** 2))

        encoded = Encoded(task.evidence[0])
        assert error(encoded) < 0.8 * error(Screened(1)), name


def test_without_an_encoder_the_search_starts_elsewhere_and_takes_longer(tiny_prior, rng):
    task = tasks.denoising()
    observed = images(rng)
    assert tfgpr.Restorer(tiny_prior, task).method.iterations == task.default.unaided
    method = dataclasses.replace(task.default.with_iterations(3), residual=False)
    found = tfgpr.Restorer(tiny_prior, task, method)
    assert found.method.iterations == 3  # as asked for
    assert not found.method.residual
    screened = dataclasses.replace(method, initialization=method.initialization.without)
    expected = tfgpr.Restorer(tiny_prior, task, screened).restore(observed)
    np.testing.assert_array_equal(found.restore(observed).images, expected.images)


def test_the_encoder_is_saved_with_the_prior(complete_prior, rng, tmp_path):
    complete_prior.save(tmp_path / "prior")
    read = load_prior(tmp_path / "prior", "float32")
    found = residual.evidence(tf.constant(images(rng)), luma=0.1, chroma=0.2)
    expected = complete_prior.encoder(found)
    assert np.std(expected) > 0.01
    np.testing.assert_allclose(read.encoder(found), expected, atol=5e-3)  # float16


def test_starts_of_several_seeds_differ_and_stay_in_the_box(complete_prior, rng):
    x = tf.constant(images(rng))
    starts = [
        Encoded(residual.Noisy(0.1), spread=spread)(complete_prior, None, x, 2, seed)
        for spread, seed in ((0.0, 0), (0.3, 0), (0.3, 1))
    ]
    np.testing.assert_array_equal(starts[0][:, 0], starts[0][:, 1])
    for moved in starts[1:]:
        difference = np.abs(moved - starts[0])
        assert 0.1 < difference.max() <= 0.3 + 1e-6
        assert np.abs(moved).max() <= 1
    assert np.abs(starts[1] - starts[2]).max() > 0.1


def test_further_samples_start_apart_from_the_first(complete_prior, rng):
    clean = images(rng)
    task = tasks.denoising()
    restorer = tfgpr.Restorer(complete_prior, task, task.default)
    restorer.start(clean, num_samples=3)
    z = restorer.z.numpy().reshape(len(clean), 3, -1)
    answer = complete_prior.encoder(task.evidence[0](tf.fill(clean.shape, 0.5), clean)).numpy()
    shift = np.abs(z - answer[:, None]).max(axis=(0, 2))
    assert shift[0] <= 0.1 + 1e-6
    assert (shift[1:] > 0.3).all()
    restorer.start(clean)
    np.testing.assert_allclose(restorer.z.numpy(), z[:, 0], atol=1e-6)
    restorer.start(clean, num_samples=2)
    np.testing.assert_allclose(restorer.z.numpy().reshape(len(clean), 2, -1), z[:, :2], atol=1e-6)
