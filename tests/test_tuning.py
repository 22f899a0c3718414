"""`tune`: the weights that it prints are the best of the grid."""

import numpy as np
from test_scripts import run_script

from tfgpr import images, metrics, tasks
from tfgpr.baselines import BASELINES
from tfgpr.evaluation import tuning


def test_the_best_weight_is_printed_first_and_an_edge_is_named(tmp_path, rng, monkeypatch, capsys):
    rows = np.linspace(0.2, 0.8, 64, dtype=np.float32)[:, None, None]
    for i in range(3):
        face = np.broadcast_to(rows * rng.random((1, 1, 3), np.float32), (64, 64, 3))
        images.write_png(tmp_path / f"{i}.png", face)
    monkeypatch.setitem(tuning.GRIDS, "tv", {"denoising": {"weights": (0.01, 0.1, 1.0)}})
    arguments = [f"--data_dir={tmp_path}", "--first=1", "--num_images=2", "--methods=tv"]
    assert run_script("scripts/tune_baselines.py", *arguments) == 0
    said = capsys.readouterr().out.splitlines()
    printed = [line for line in said if "dB" in line]

    task, baseline = tasks.denoising(), BASELINES["tv"](64)
    stored = [images.read_image(tmp_path / f"{i}.png") for i in (1, 2)]
    clean = np.stack([images.crop_and_resize(each, 64) for each in stored]) / np.float32(255)
    observed = task.corruption(clean, first=1)
    found = {}
    for weight in (0.01, 0.1, 1.0):
        baseline.weights["denoising"] = weight
        restored = baseline.restore(task, observed)
        found[weight] = float(np.mean(metrics.psnr(restored, clean)))
    expected = sorted(found, key=found.get, reverse=True)
    for weight, line in zip(expected, printed, strict=True):
        assert f"'weights': {weight}}}" in line
    assert f"{found[expected[0]]:.3f} dB" in printed[0]
    assert expected[0] == 1.0, "a slope has little variation: the heaviest weight is the best"
    assert "at the edge of its grid: weights" in said[-1]


def test_a_method_without_a_grid_is_named(tmp_path, capsys):
    arguments = [f"--data_dir={tmp_path}", "--methods=tv,interpolation"]
    assert run_script("scripts/tune_baselines.py", *arguments) == 2
    assert "interpolation" in capsys.readouterr().err
