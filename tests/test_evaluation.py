"""`evaluate`: what it writes, that it continues, what it refuses; the published protocol."""

import copy
import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from conftest import make_tiny_prior, own_flags
from test_baselines import faces

from tfgpr import metrics, perceptual, tasks
from tfgpr.errors import InputError
from tfgpr.evaluation import PROTOCOLS, evaluate, run
from tfgpr.evaluation.judge import Judge
from tfgpr.evaluation.methods import prior_fingerprint
from tfgpr.images import to_uint8, write_png
from tfgpr.restoration import Restorer

ROOT = pathlib.Path(__file__).parents[1]
SETTINGS = {"first": 20, "num_images": 4, "image_size": 32, "crop": None}
QUICK = {"tasks": ["denoising", "dequantization"], "methods": ["observed", "tv", "interpolation"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("faces")
    for index, image in enumerate(to_uint8(faces(np.random.default_rng(7), 24))):
        write_png(path / f"{index:03d}.png", image)
    return path


@pytest.fixture(autouse=True)
def no_face_net(monkeypatch):
    monkeypatch.setattr(perceptual, "available", lambda: False)


def test_it_writes_results_table_figure_and_page(folder, tmp_path, tiny_prior):
    results = evaluate(
        folder,
        tmp_path / "out",
        methods=["observed", "interpolation", "tv", "default"],
        prior=tiny_prior,
        iterations=2,
        **SETTINGS,
    )
    stored = json.loads((tmp_path / "out" / "results.json").read_text())
    assert stored == results
    assert set(stored) == set(tasks.TASKS)
    assert set(stored["colorization"]) == {"interpolation", "default"}
    scores = stored["inpainting"]["interpolation"]
    assert {"psnr", "ssim", "psnr_std", "ssim_std", "seconds_per_image"} <= set(scores)
    assert scores["num_images"] == 4
    assert scores["hole_psnr"] < scores["psnr"]
    assert scores["hole_sliced_wasserstein"] > scores["sliced_wasserstein"] > 0
    table = (tmp_path / "out" / "table.md").read_text()
    assert f"**{max(s['psnr'] for s in stored['denoising'].values()):.2f}**" in table
    assert "0.7647 / 23.10" in table
    assert "Table 1 (published): TV" in table
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 1
    assert 'src="http' not in page
    assert (tmp_path / "out" / "figure.png").stat().st_size > 5000


def test_scores_are_those_of_the_images(folder, tmp_path):
    results = evaluate(folder, tmp_path / "out", ["denoising"], ["observed"], **SETTINGS)
    clean = to_uint8(faces(np.random.default_rng(7), 24))[20:].astype(np.float32) / 255
    noisy = np.clip(tasks.denoising().corruption(clean, seed=0, first=20), 0, 1)
    expected = metrics.psnr(noisy, clean).numpy()
    assert np.isclose(results["denoising"]["observed"]["psnr"], expected.mean(), atol=1e-4)
    assert np.isclose(results["denoising"]["observed"]["psnr_std"], expected.std(), atol=1e-4)


def test_identity_is_the_mean_cosine_to_the_originals(monkeypatch, rng):
    class Angles:
        """Embeds an image at the angle that its first number says."""

        def embed(self, images):
            angle = np.pi * images[:, 0, 0, 0]
            return np.stack([np.cos(angle), np.sin(angle)], axis=1)

    monkeypatch.setattr(perceptual, "available", lambda: True)
    monkeypatch.setattr(perceptual, "FaceNet", Angles)
    clean, restored = rng.uniform(size=(2, 3, 32, 32, 3)).astype(np.float32)
    judge = Judge(clean, None, PROTOCOLS["clean"])
    angles = np.pi * (restored - clean)[:, 0, 0, 0]
    assert judge.identity(restored) == pytest.approx(1 - np.cos(angles).mean(), abs=1e-5)
    assert judge.identity(clean) == pytest.approx(0, abs=1e-6)


def test_an_interrupted_run_continues_with_what_is_missing(folder, tmp_path, monkeypatch):
    worked = []
    cell = run._Run.cell

    def interrupted(self, task, method):
        if len(worked) == 2:
            worked.append("interrupted")
            raise KeyboardInterrupt
        worked.append((task.name, method))
        return cell(self, task, method)

    monkeypatch.setattr(run._Run, "cell", interrupted)
    with pytest.raises(KeyboardInterrupt):
        evaluate(folder, tmp_path / "out", **QUICK, **SETTINGS)
    assert len(json.loads((tmp_path / "out" / "results.json").read_text())["denoising"]) == 2
    evaluate(folder, tmp_path / "out", **QUICK, **SETTINGS)
    done = [each for each in worked if each != "interrupted"]
    assert len(done) == len(set(done)) == 5  # interpolation does not denoise
    evaluate(folder, tmp_path / "out", **QUICK, **SETTINGS)
    assert len(worked) == 6


def test_other_images_or_another_protocol_are_refused(folder, tmp_path):
    evaluate(folder, tmp_path / "out", **QUICK, **SETTINGS)
    with pytest.raises(InputError, match="protocol: clean then, published now"):
        evaluate(folder, tmp_path / "out", protocol="published", **QUICK, **SETTINGS)
    with pytest.raises(InputError, match="first: 20 then, 19 now"):
        evaluate(folder, tmp_path / "out", **QUICK, **{**SETTINGS, "first": 19})
    other = {**SETTINGS, "first": 19}
    evaluate(folder, tmp_path / "out", **QUICK, **other, overwrite=True)


def test_another_prior_is_refused_only_where_a_prior_was_used(folder, tmp_path, tiny_prior):
    other = make_tiny_prior(latent_dim=5)
    assert prior_fingerprint(other) != prior_fingerprint(tiny_prior)
    settings = {"tasks": ["denoising"], "iterations": 1, **SETTINGS}
    out = tmp_path / "out"
    evaluate(folder, out, methods=["observed", "default"], prior=tiny_prior, **settings)
    evaluate(folder, out, methods=["observed", "tv"], prior=other, **settings)
    with pytest.raises(InputError, match="default for denoising"):
        evaluate(folder, out, methods=["default"], prior=other, **settings)


def test_another_nu_or_encoder_is_another_prior_but_for_the_paper(
    folder, tmp_path, tiny_prior, complete_prior
):
    keras.utils.set_random_seed(3)
    priors = [complete_prior]
    for part in ("residual", "encoder"):
        trained = getattr(complete_prior, part)
        for other in (None, type(trained).untrained(trained.architecture)):
            priors.append(copy.copy(complete_prior))
            setattr(priors[-1], part, other)
    assert len({prior_fingerprint(each) for each in priors}) == 5
    assert {prior_fingerprint(each, "paper") for each in priors} == {prior_fingerprint(tiny_prior)}
    settings = {"tasks": ["denoising"], "iterations": 1, **SETTINGS}
    evaluate(folder, tmp_path, methods=["default", "paper"], prior=complete_prior, **settings)
    evaluate(folder, tmp_path, methods=["paper"], prior=priors[1], **settings)
    for other in priors[1:]:
        with pytest.raises(InputError, match="default for denoising"):
            evaluate(folder, tmp_path, methods=["default"], prior=other, **settings)


def test_another_training_set_is_refused_only_where_something_was_learned(folder, tmp_path):
    settings = {"tasks": ["dequantization"], **SETTINGS}
    evaluate(folder, tmp_path / "out", methods=["tv", "interpolation"], **settings)
    evaluate(folder, tmp_path / "out", methods=["tv"], num_train=10, **settings)
    with pytest.raises(InputError, match="interpolation for dequantization"):
        evaluate(folder, tmp_path / "out", methods=["interpolation"], num_train=10, **settings)


def test_somebody_elses_folder_is_left_alone(folder, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="already holds files"):
        evaluate(folder, tmp_path, **QUICK, **SETTINGS)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"tasks": ["colouring"]}, "colorization"),
        ({"methods": ["magic"]}, "low_rank"),
        ({"protocol": "other"}, "published"),
        ({"num_images": 40}, "24 files"),
        ({"methods": ["paper"]}, "prior"),
        ({"tasks": ["colorization"], "methods": ["tv"]}, "None of tv"),
        ({"first": 0, "methods": ["interpolation"]}, "--train_dir"),
    ],
)
def test_bad_input_names_the_remedy(folder, tmp_path, changed, message):
    with pytest.raises(InputError, match=message):
        evaluate(folder, tmp_path / "out", **{**QUICK, **SETTINGS, **changed})


def test_a_mistake_throws_no_results_away(folder, tmp_path):
    evaluate(folder, tmp_path / "out", ["denoising"], ["observed"], **SETTINGS)
    before = sorted((tmp_path / "out").rglob("*"))
    other = {**SETTINGS, "first": 0}
    with pytest.raises(InputError, match="--first=0"):
        evaluate(folder, tmp_path / "out", ["denoising"], ["pca"], **other, overwrite=True)
    assert sorted((tmp_path / "out").rglob("*")) == before
    (tmp_path / "out" / "settings.json").write_text("{")
    with pytest.raises(InputError, match="damaged file"):
        evaluate(folder, tmp_path / "out", ["denoising"], ["observed"], **SETTINGS)


def test_training_images_must_not_be_tested(folder, tmp_path):
    with pytest.raises(InputError, match="not tested"):
        evaluate(folder, tmp_path / "out", train_dir=folder, **QUICK, **SETTINGS)


def test_published_quantization_is_floor_stretched(rng):
    images = rng.uniform(0.1, 0.9, size=(2, 32, 32, 3)).astype(np.float32)
    found = PROTOCOLS["published"].tasks["dequantization"]().corruption(images).numpy()
    for image, result in zip(images, found):
        expected = np.floor(image * 255 / 55) * 55 / 255
        expected = (expected - expected.min()) / (expected.max() - expected.min())
        np.testing.assert_allclose(result, expected, atol=1e-5)


def test_published_noise_is_stretched_to_its_own_range(rng):
    images = rng.uniform(size=(2, 32, 32, 3)).astype(np.float32)
    clean = tasks.denoising().corruption(images, first=3).numpy()
    found = PROTOCOLS["published"].tasks["denoising"]().corruption(images, first=3).numpy()
    for noisy, result in zip(clean, found):
        expected = (noisy - noisy.min()) / (noisy.max() - noisy.min())
        np.testing.assert_allclose(result, expected, atol=1e-5)


def test_published_super_resolution_is_linear_interpolation_twice(rng):
    image = rng.uniform(size=(1, 32, 32, 3)).astype(np.float32)
    found = PROTOCOLS["published"].tasks["super_resolution"]().corruption(image).numpy()

    def resample(array, axis, size):
        places = np.linspace(0, array.shape[axis] - 1, size)
        along = np.arange(array.shape[axis])
        return np.apply_along_axis(lambda line: np.interp(places, along, line), axis, array)

    small = resample(resample(image, 1, 8), 2, 8)
    np.testing.assert_allclose(found, resample(resample(small, 1, 32), 2, 32), atol=1e-5)


def test_published_psnr_is_relative_to_each_images_maximum(rng):
    images = rng.uniform(0, 0.8, size=(2, 32, 32, 3)).astype(np.float32)
    noisy = images + 0.05
    found = PROTOCOLS["published"].psnr(noisy, images).numpy()
    expected = 20 * np.log10(images.max(axis=(1, 2, 3)) / 0.05)
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_the_script_says_a_users_mistake_in_one_line(folder, tmp_path):
    command = [sys.executable, ROOT / "scripts" / "evaluate.py", f"--data_dir={folder}"]
    command += [f"--output={tmp_path / 'out'}", "--methods=tv", "--first=20"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith("error: Expected 500 images")
    assert "Traceback" not in done.stderr


def test_the_optimal_discriminator_of_fig_2_pushes_toward_the_data():
    spec = importlib.util.spec_from_file_location("fig2", ROOT / "scripts" / "fig2.py")
    fig2 = importlib.util.module_from_spec(spec)
    with own_flags():
        spec.loader.exec_module(fig2)
    x = np.linspace(-2, 2, 9)
    d = fig2.discriminator(x)
    np.testing.assert_allclose(fig2.realism(x), np.log(1 - d) - np.log(d), rtol=1e-6)
    for place in (-2.5, -0.2, 0.7, 2.4):
        moved = place + 0.05 * np.sign(fig2.push(place))
        assert fig2.discriminator(moved) > fig2.discriminator(place)
    assert fig2.draw().shape == (660, 800, 3)


def test_default_names_itself_alike_and_restores_what_was_published(complete_prior):
    for make in PROTOCOLS["clean"].tasks.values():
        assert "0x" not in repr(make().default)  # else no other process could continue
    for name, make in PROTOCOLS["published"].tasks.items():
        task = make()
        assert "0x" not in repr(task.default)
        clean = complete_prior.sample(2)
        observed, given = task.observe(clean)
        low, high = task.observed_range
        observed = np.clip(observed, low, high)
        found = Restorer(complete_prior, task).restore(observed, **given)
        assert found.images.shape == clean.shape, name
        assert (found.loss <= found.trace[0]).all(), name
