"""scripts/examples: each runs as a script, and its mathematics holds on planted answers."""

import pathlib
import re
import runpy

import keras
import numpy as np
import pytest
from conftest import own_flags
from test_scripts import run_script

import tfgpr
from tfgpr import images

EXAMPLES = pathlib.Path(__file__).parent.parent / "scripts" / "examples"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.py"))


def module(name):
    """The functions and classes of an example, without running it."""
    with own_flags():
        return runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name=name)


@pytest.fixture
def clean(tiny_prior):
    return tiny_prior.sample(2, seed=4).numpy()


def psnr(a, b):
    return -10 * np.log10(((a - b) ** 2).mean(axis=(1, 2, 3)))


def residual(operator, of, result, **conditions):
    return np.linalg.norm(result.observed - operator(of, **conditions))


def require_progress(result):
    assert (result.loss < 0.7 * result.trace[0]).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_script_prints_what_its_picture_shows(
    name, tiny_prior, clean, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(tfgpr, "load_prior", lambda: tiny_prior)
    monkeypatch.setattr(tfgpr, "example_face", lambda: clean[:1])
    arguments = [f"--output={tmp_path / 'out'}", "--iterations=5"]
    arguments += ["--epochs=1"] if name == "own_gan" else []
    assert run_script(f"scripts/examples/{name}.py", *arguments) == 0
    stated = float(re.search(r"restored: ([\d.]+) dB", capsys.readouterr().out)[1])
    picture = images.read_image(tmp_path / "out" / "comparison.png") / np.float32(255)
    step = 2 * 32 + 2  # of the tiles: twice as large, a gap of 2; 16 pixels of labels above
    rows = range(18, picture.shape[0], step)
    columns = [picture.shape[1] - 2 * step, picture.shape[1] - step]  # restored, original
    tiles = np.array([[picture[y : y + 64, x : x + 64] for y in rows] for x in columns])
    assert psnr(*tiles).mean() == pytest.approx(stated, abs=0.1)
    assert run_script(f"scripts/examples/{name}.py", *arguments) == 2, "nothing is overwritten"


def test_own_operator_is_a_mosaic_that_is_reached(tiny_prior, clean):
    example = module("own_operator")
    operator = example["BayerFilter"]()
    channel = np.array([[0, 1], [1, 2]])[np.arange(32)[:, None] % 2, np.arange(32) % 2]
    seen = np.take_along_axis(clean, np.broadcast_to(channel, (2, 32, 32))[..., None], axis=3)
    np.testing.assert_array_equal(operator(clean), seen)
    y = np.random.default_rng(0).standard_normal(seen.shape).astype(np.float32)
    back = operator.adjoint(y, (32, 32, 3)).numpy()
    np.testing.assert_allclose((seen * y).sum(), (clean * back).sum(), rtol=1e-4)

    result = example["restore"](tiny_prior, clean, 60)
    require_progress(result)
    reached = residual(operator, result.images, result)
    assert reached < 0.1 * residual(operator, result.generated, result)
    assert (psnr(result.images, clean) > 40).all(), "the planted image is found"


def test_compressed_sensing_projects_and_comes_back(tiny_prior, clean):
    example = module("compressed_sensing")
    operator = example["RandomProjections"](100, (32, 32, 3))
    measured = operator(clean).numpy()
    matrix = np.asarray(operator.matrix, np.float64)
    np.testing.assert_allclose(measured, clean.reshape(2, -1) @ matrix, atol=1e-4)
    assert matrix.std() == pytest.approx(3072**-0.5, rel=0.01)
    y = np.random.default_rng(0).standard_normal((2, 100)).astype(np.float32)
    back = operator.adjoint(y, (32, 32, 3)).numpy()
    np.testing.assert_allclose(back.reshape(2, -1), y @ matrix.T, atol=1e-4)
    config = keras.saving.serialize_keras_object(operator)
    copy = keras.saving.deserialize_keras_object(config)
    np.testing.assert_array_equal(copy(clean), measured)

    result = example["restore"](tiny_prior, clean, 100, 60)
    np.testing.assert_array_equal(result.observed, measured)
    require_progress(result)
    reached = residual(operator, result.images, result)
    assert reached < 0.3 * residual(operator, result.generated, result)


def test_deblurring_is_sharper_than_the_blurred(tiny_prior, clean):
    result = module("deblurring")["restore"](tiny_prior, clean, 1.5, 0.01, 60)
    blur = tfgpr.operators.GaussianBlur(1.5)
    noise = result.observed - blur(clean).numpy()
    assert noise.std() == pytest.approx(0.01, rel=0.1)
    require_progress(result)
    assert (psnr(result.images, clean) > psnr(result.observed, clean)).all()
    assert residual(blur, result.images, result) < residual(blur, result.generated, result)


def test_composed_operators_keep_what_was_known_of_both(pale_prior):
    example = module("composed_operators")
    clean = pale_prior.sample(2, seed=4).numpy()
    known = example["scratches"](32)
    assert 0.7 < known.mean() < 0.95
    result = example["restore"](pale_prior, clean, known, 60)
    luma = clean @ np.array([0.299, 0.587, 0.114], np.float32)
    np.testing.assert_allclose(result.observed[..., 0], luma * known[..., 0], atol=1e-5)
    require_progress(result)
    operator = tfgpr.operators.Compose([tfgpr.operators.Inpainting(), tfgpr.operators.Luma()])
    reached = residual(operator, result.images, result, known=known)
    assert reached < 0.3 * residual(operator, result.generated, result, known=known)
    seam = result.images - result.generated  # smooth in the scratches, the same in R, G and B
    assert 0 < result.images.min() < result.images.max() < 1, "nothing is clipped"
    assert np.ptp(seam, axis=-1).max() < 1e-3


def test_own_gan_is_a_prior_in_which_a_planted_z_is_found(tmp_path):
    example = module("own_gan")
    pictures = example["disks"](20)
    assert pictures.shape == (20, 32, 32, 3)
    assert 0 <= pictures.min() < pictures.max() <= 1
    prior = example["train"](2)
    assert (prior.latent.name, prior.image_size, prior.crop) == ("gaussian", 32, None)
    planted = prior.latent.sample(2, (9, 9))
    task = tfgpr.tasks.denoising()
    restorer = tfgpr.Restorer(prior, task, task.default.with_iterations(300))
    result = restorer.restore(prior.generate(planted).numpy())
    assert (result.loss < 1e-2 * result.trace[0]).all()
    np.testing.assert_allclose(result.latent, planted, atol=0.1)
    prior.save(tmp_path / "prior")
    copy = tfgpr.load_prior(tmp_path / "prior")
    np.testing.assert_array_equal(copy.generate(planted), prior.generate(planted))
