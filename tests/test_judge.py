"""What judges a prior: each measure against brute force or a planted answer; the report."""

import json

import numpy as np
import pytest
from test_scripts import run_script

from tfgpr import baselines, health, images, judge, latent, pages, perceptual, two_sample
from tfgpr.errors import InputError
from tfgpr.prior import GanPrior, load_prior


def test_auc_is_the_share_of_pairs(rng):
    higher, lower = rng.integers(0, 5, 30), rng.integers(0, 4, 20)
    pairs = [(a > b) + 0.5 * (a == b) for a in higher for b in lower]
    assert two_sample.auc(higher, lower) == pytest.approx(np.mean(pairs))
    assert two_sample.auc([3.0, 4.0], [1.0, 2.0]) == 1
    assert two_sample.auc(lower, lower) == 0.5


def test_kernel_distance_is_the_unbiased_mmd_of_its_definition(rng):
    a, b = rng.normal(size=(7, 3)), rng.normal(size=(5, 3)) + 0.5

    def k(x, y):
        return (x @ y / 3 + 1) ** 3

    def mean(x, y, same):
        return np.mean(
            [k(p, q) for i, p in enumerate(x) for j, q in enumerate(y) if not (same and i == j)]
        )

    expected = mean(a, a, True) + mean(b, b, True) - 2 * mean(a, b, False)
    assert two_sample.kernel_distance(a, b) == pytest.approx(expected)


def test_precision_and_recall_know_what_is_missing_and_what_is_wrong(rng):
    left, right = rng.normal(size=(60, 2)), rng.normal(size=(60, 2)) + 50
    real = np.concatenate([left, right])
    more = rng.normal(size=(120, 2))
    precision, recall = two_sample.precision_recall(more, real)  # one of two modes
    assert precision > 0.9
    assert 0.4 < recall < 0.55
    wrong = np.concatenate([more, more + np.array([-50, 0])])  # all of one mode, and nonsense
    precision, recall = two_sample.precision_recall(wrong, real)
    assert 0.4 < precision < 0.55
    with pytest.raises(InputError, match="more than 3"):
        two_sample.precision_recall(real[:3], real)


def test_a_mirrored_copy_is_found_among_the_training_images(rng):
    training = rng.integers(0, 256, (2500, 8, 8, 3), np.uint8)
    samples = rng.random((3, 8, 8, 3), np.float32)
    samples[1] = training[2100][:, ::-1] / 255
    distances, indices = two_sample.nearest(samples, training, 2)
    assert indices[1, 0] == 2100
    assert distances[1, 0] < 1e-3
    mirrored = samples[:, :, ::-1]
    for row in range(3):
        both = [
            np.sqrt(((training / 255 - s[row]) ** 2).mean((1, 2, 3))) for s in (samples, mirrored)
        ]
        np.testing.assert_allclose(distances[row], np.sort(np.minimum(*both))[:2], atol=1e-3)


def test_pca_represents_what_lies_in_its_span(rng):
    half = rng.random((3, 16, 8, 3))
    faces = np.concatenate([half, half[:, :, ::-1]], axis=2)  # symmetric: even components alone
    weights = rng.dirichlet(np.ones(3), 40)
    training = np.float32(np.tensordot(weights, faces, 1))
    pca = baselines.PCA(16, components=8).fit(training)
    unseen = np.float32(np.tensordot(rng.dirichlet(np.ones(3), 5), faces, 1))
    np.testing.assert_allclose(pca.represent(unseen), unseen, atol=1e-4)
    np.testing.assert_allclose(pca.represent(unseen, 0), np.broadcast_to(pca.mean, unseen.shape))


def test_a_prior_inverts_what_it_draws(tiny_prior):
    drawn = judge.draw(tiny_prior, 4, seed=9)
    inverter = judge.Inverter(tiny_prior, 120)
    generated, psnr = inverter(drawn, batch_size=3)
    assert generated.shape == drawn.shape
    assert np.median(psnr) > 30
    error = ((generated - drawn) ** 2).mean((1, 2, 3))
    np.testing.assert_allclose(psnr, -10 * np.log10(error), atol=1e-3)


def test_samples_do_not_depend_on_how_many_are_drawn_at_once(tiny_prior):
    np.testing.assert_allclose(
        judge.draw(tiny_prior, 7, batch_size=3), tiny_prior.sample(7), atol=1e-5
    )


def test_interpolations_begin_and_end_at_draws(tiny_prior):
    rows = judge.interpolations(tiny_prior, rows=2, columns=3, seed=5).reshape(2, 3, 32, 32, 3)
    for column, side in ((0, 0), (2, 1)):
        ends = tiny_prior.generate(tiny_prior.latent.sample(2, (5, side)))
        np.testing.assert_allclose(rows[:, column], ends, atol=1e-5)
    ends = [tiny_prior.latent.sample(2, (5, side)) for side in (0, 1)]
    middle = tiny_prior.generate((ends[0] + ends[1]) / 2)
    np.testing.assert_allclose(rows[:, 1], middle, atol=1e-5)


def test_interpolations_of_a_gaussian_z_go_along_arcs(tiny_prior):
    law = latent.Gaussian(6)
    prior = GanPrior(tiny_prior.generator, tiny_prior.discriminator, law)
    rows = judge.interpolations(prior, rows=2, columns=4, seed=5).reshape(2, 4, 32, 32, 3)
    begin, end = law.sample(2, (5, 0)), law.sample(2, (5, 1))
    half, root = 0.5, 0.75**0.5  # cosine and sine of 60 degrees
    for column, (a, b) in enumerate([(1, 0), (root, half), (half, root), (0, 1)]):
        np.testing.assert_allclose(rows[:, column], prior.generate(a * begin + b * end), atol=1e-5)


def test_a_histogram_draws_shares_and_escapes():
    drawn = pages.histogram({"a <b>": [0.0, 0.0, 1.0], "same": [2.0, 2.0, 2.0]}, "x & y", bins=2)
    assert "a &lt;b&gt;: median 0" in drawn
    assert "x &amp; y" in drawn
    assert drawn.count("<polygon") == 2
    assert "nan" not in pages.histogram({"constant": [1.0, 1.0]}, "x")


class MeanColor:
    """Stands in for FaceNet: unit vectors from mean colors of quarters."""

    def embed(self, faces):
        rows = (
            np.asarray(faces)
            .reshape(len(faces), 2, 16, 2, 16, 3)
            .mean((2, 4))
            .reshape(len(faces), -1)
        )
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def folder(tiny_prior, tmp_path):
    """A prior that says that it was trained on the first 24 of 36 files, and the files."""
    rng = np.random.default_rng(5)
    for i, face in enumerate(tiny_prior.sample(36, seed=4).numpy()):
        noisy = np.clip(face + 0.02 * rng.normal(size=face.shape), 0, 1)
        images.write_png(tmp_path / "faces" / f"{i:02d}.png", noisy)
    tiny_prior.training = {"images": 24, "steps": 7}
    tiny_prior.crop, crop = None, tiny_prior.crop
    tiny_prior.save(tmp_path / "prior")
    tiny_prior.training, tiny_prior.crop = {}, crop
    return tmp_path


def test_the_script_writes_a_report_and_records_the_health(folder, monkeypatch, capsys):
    monkeypatch.setattr(perceptual, "available", lambda: True)
    monkeypatch.setattr(perceptual, "FaceNet", MeanColor)
    arguments = [f"--data_dir={folder / 'faces'}", f"--model_dir={folder / 'prior'}"]
    arguments += ["--num_inversions=4", "--dtype=float32"]
    assert (
        run_script("scripts/judge_prior.py", *arguments, f"--output={folder / 'out'}", "--record")
        == 0
    )
    report = json.loads((folder / "out" / "report.json").read_text())
    assert (report["first"], report["num_images"], report["images"]) == (24, 12, 4)
    assert report["inversion_psnr"] == pytest.approx(
        np.median(report["inversion_psnr_each"]), abs=1e-3
    )
    assert report["inversion_psnr"] > report["mean_image_psnr"] + 5, (
        "they are its own, but for noise"
    )
    assert report["complaints"] == []
    assert {"pca_psnr", "precision", "recall_real", "kid", "auc_training_held_out"} <= {*report}
    page = (folder / "out" / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 4
    assert page.count("<svg") == 3
    assert "http" not in page.replace("http-equiv", ""), "it needs nothing from elsewhere"
    recorded = json.loads((folder / "prior" / "model.json").read_text())["training"]
    assert recorded["steps"] == 7
    assert recorded["health"]["inversion_psnr"] == report["inversion_psnr"]
    capsys.readouterr()
    assert run_script("scripts/judge_prior.py", *arguments, f"--output={folder / 'out'}") == 2
    assert "--overwrite" in capsys.readouterr().err


def test_only_files_that_were_trained_on_count_as_training(folder, monkeypatch):
    given = []

    def seen(prior, held_out, training, *rest):
        given.append(training)
        raise InputError("enough")

    monkeypatch.setattr(judge, "judge", seen)
    arguments = [f"--data_dir={folder / 'faces'}", f"--model_dir={folder / 'prior'}"]
    arguments += [f"--output={folder / 'out'}", "--first=30", "--num_train=10"]
    assert run_script("scripts/judge_prior.py", *arguments) == 2
    trained = [images.read_image(folder / "faces" / f"{i:02d}.png") for i in range(14, 24)]
    np.testing.assert_array_equal(given[0], trained)


def test_what_is_not_installed_is_said_and_left_out(folder, tiny_prior, monkeypatch):
    monkeypatch.setattr(perceptual, "available", lambda: False)

    def absent(*args, **kwargs):
        raise InputError("Expected scikit-learn; pip install 'tfgpr[evaluation]'.")

    monkeypatch.setattr(baselines, "PCA", absent)
    faces = np.uint8(255 * judge.draw(tiny_prior, 12))
    found = judge.judge(tiny_prior, faces[:4], faces[4:], inversions=2, say=lambda line: None)
    assert not {"pca_psnr", "precision", "kid"} & {*found.numbers}
    assert "[evaluation]" in found.notes[0]
    assert "[perceptual]" in found.notes[1]
    with pytest.raises(InputError, match="--num_train"):
        judge.judge(tiny_prior, faces[:6], faces[6:9])


def test_a_prior_that_does_not_say_its_images_needs_first(tiny_prior, tmp_path, capsys):
    tiny_prior.save(tmp_path / "prior")
    arguments = [f"--model_dir={tmp_path / 'prior'}", f"--data_dir={tmp_path}"]
    assert run_script("scripts/judge_prior.py", *arguments, f"--output={tmp_path / 'out'}") == 2
    assert "--first" in capsys.readouterr().err


HEALTHY = {"inversion_psnr": 22.1, "mean_image_psnr": 14.8, "ms_ssim": 0.3, "ms_ssim_real": 0.28}


def test_complaints_name_the_figures():
    assert health.complaints(HEALTHY) == []
    (alike,) = health.complaints({**HEALTHY, "ms_ssim": 0.83})
    assert "0.83" in alike
    (blind,) = health.complaints({**HEALTHY, "inversion_psnr": 16.7})
    assert "16.7" in blind
    assert "14.8" in blind
    assert (
        len(health.complaints({**HEALTHY, "inversion_psnr": float("nan"), "ms_ssim": float("nan")}))
        == 2
    )


@pytest.fixture
def told(caplog, monkeypatch):
    """What loading said."""
    monkeypatch.setattr(health, "_told", set())
    caplog.set_level("INFO")
    return lambda: [
        (r.levelname, r.getMessage()) for r in caplog.records if "prior in" in r.getMessage()
    ]


@pytest.mark.parametrize("fault", ["collapsed", "untrained"])
def test_a_collapsed_or_untrained_prior_warns_once_when_it_is_loaded(
    fault, tiny_prior, tmp_path, told, rng
):
    """Really measured: real images are varied, this prior draws one face, or gray."""
    from conftest import make_tiny_prior

    broken = make_tiny_prior()
    dense = broken.generator.layers[1]
    last = [layer for layer in broken.generator.layers if layer.weights][-1]
    if fault == "collapsed":
        dense.kernel.assign(1e-3 * dense.kernel)  # z hardly matters
        norms = [x for x in broken.generator.layers if hasattr(x, "beta")]
        norms[0].beta.assign(rng.normal(size=norms[0].beta.shape))  # but a picture it is
    else:
        last.kernel.assign(0.01 * last.kernel)  # weights as small as they begin
    real = judge.draw(tiny_prior, 32, seed=8)
    record = judge.QuickJudge(real[:16], real[16:], iterations=40, inversions=8)(broken)
    broken.training = {"health": record}
    broken.save(tmp_path / "prior")
    load_prior(tmp_path / "prior")
    load_prior(tmp_path / "prior")
    ((level, message),) = told()
    assert level == "WARNING"
    assert "collapsed" in message
    assert f"{record['inversion_psnr']:.1f} dB" in message
    assert "scripts/train.py" in message


def test_a_healthy_prior_is_silent_and_an_unrecorded_one_says_so(tiny_prior, tmp_path, told):
    real = judge.draw(tiny_prior, 32, seed=8)
    record = judge.QuickJudge(real[:16], real[16:], iterations=60, inversions=8)(tiny_prior)
    tiny_prior.save(tmp_path / "prior")
    load_prior(tmp_path / "prior")
    ((level, message),) = told()
    assert level == "INFO"
    assert "--record" in message
    health.record(tmp_path / "prior", record)
    load_prior(tmp_path / "prior")
    assert len(told()) == 1
    with pytest.raises(InputError, match=r"a folder with model\.json"):
        health.record(tmp_path, record)


def test_the_shipped_prior_has_a_record_without_complaints():
    from tfgpr.prior import SHIPPED

    record = json.loads((SHIPPED / "model.json").read_text())["training"]["health"]
    assert health.complaints(record) == []
