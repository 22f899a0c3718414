"""`tune` and its script: what is printed is the best of what each weight really gives."""

import re

import numpy as np
import pytest
from test_scripts import run_script

from tfgpr import metrics, tasks
from tfgpr.baselines import TotalVariation
from tfgpr.evaluation import tuning
from tfgpr.images import FACE_CROP, crop_and_resize, read_image, write_png


@pytest.fixture
def arguments(tmp_path, rng):
    axis = np.linspace(0, 1, 64)
    for i in range(5):
        tint = rng.uniform(0.2, 0.8, (2, 3))
        image = np.where((axis < 0.5)[None, :, None], tint[0], tint[1] * axis[:, None, None])
        write_png(tmp_path / f"{i}.png", image)
    return [f"--data_dir={tmp_path}", "--first=2", "--num_images=3", "--methods=tv"]


def test_the_best_weights_are_printed_best_first(arguments, tmp_path, monkeypatch, capsys):
    weights = (0.1, 8.0, 60.0, 400.0)
    grid = {"denoising": {"weights": weights}, "dequantization": {"weights": weights}}
    monkeypatch.setitem(tuning.GRIDS, "tv", grid)
    monkeypatch.setattr(tuning, "_CHUNK", 2)
    assert run_script("scripts/tune_baselines.py", *arguments, "--tasks=denoising") == 0
    said = capsys.readouterr().out

    cut = [crop_and_resize(read_image(tmp_path / f"{i}.png"), 64, FACE_CROP) for i in (2, 3, 4)]
    clean = np.float32(cut) / 255
    observed = tasks.denoising().corruption(clean, first=2).numpy()
    expected = {}
    for weight in weights:
        baseline = TotalVariation(64)
        baseline.weights["denoising"] = weight
        restored = baseline.restore(tasks.denoising(), observed)
        errors = ((restored - clean) ** 2).mean(axis=(1, 2, 3))
        ssim = metrics.ssim(restored, clean).numpy().mean()
        expected[weight] = (np.mean(-10 * np.log10(errors)), ssim)
    best = sorted(weights, key=lambda weight: -expected[weight][0])[:3]
    rows = re.findall(r"tv +denoising +(\S+) dB (\S+) \{'weights': (\S+)\}", said)
    assert [float(weight) for _, _, weight in rows] == best
    for psnr, ssim, weight in rows:
        wanted = expected[float(weight)]
        np.testing.assert_allclose((float(psnr), float(ssim)), wanted, atol=2e-3)
    assert ("edge of its grid: weights" in said) == (best[0] in (weights[0], weights[-1]))
    assert "dequantization" not in said


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (["--methods=tv,magic"], "'magic'"),
        (["--tasks=sharpening"], "'sharpening'"),
        (["--methods=pca", "--first=0"], "--first=0"),
    ],
)
def test_mistakes_are_named(bad, said, arguments, capsys):
    assert run_script("scripts/tune_baselines.py", *arguments, *bad) == 2
    assert said in capsys.readouterr().err
