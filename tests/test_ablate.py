"""scripts/ablate.py: each row is a restoration with one thing changed."""

import dataclasses
import json

import numpy as np
import pytest
from test_scripts import run_script

from tfgpr import images, tasks
from tfgpr.prior import load_prior
from tfgpr.restoration import Restorer


@pytest.fixture
def arguments(complete_prior, tmp_path):
    for i, face in enumerate(complete_prior.sample(4, seed=4).numpy()):
        images.write_png(tmp_path / "faces" / f"face{i}.png", face)
    complete_prior.save(tmp_path / "prior")
    return [
        f"--data_dir={tmp_path / 'faces'}", f"--model_dir={tmp_path / 'prior'}", "--first=1",
        "--num_images=2", f"--output={tmp_path / 'out'}", "--tasks=denoising,inpainting",
    ]  # fmt: skip


def test_the_rows_asked_for_are_measured(arguments, tmp_path):
    asked = "--variants=default,without nu,lambda 0"
    assert run_script("scripts/ablate.py", *arguments, asked) == 0
    found = json.loads((tmp_path / "out" / "ablation.json").read_text())
    # Of the tasks only inpainting has a weight that "lambda 0" could take away.
    assert set(found["denoising"]) == {"default", "without nu"}
    assert set(found["inpainting"]) == {"default", "without nu", "lambda 0"}
    names = [tmp_path / "faces" / f"face{i}.png" for i in (1, 2)]
    prior = load_prior(tmp_path / "prior")
    cut = [images.crop_and_resize(images.read_image(name), 32, prior.crop) for name in names]
    clean = np.stack(cut) / np.float32(255)
    task = tasks.denoising()
    observed = task.corruption(clean, first=0).numpy()
    for label, residual in (("default", True), ("without nu", False)):
        method = dataclasses.replace(task.default, residual=residual)
        restorer = Restorer(prior, task, method)
        errors = [
            ((restorer.restore(y).images[0] - x) ** 2).mean() for x, y in zip(clean, observed)
        ]
        expected = np.mean([-10 * np.log10(error) for error in errors])
        assert found["denoising"][label]["psnr"] == pytest.approx(expected, abs=0.01)


def test_a_row_that_there_is_not_is_named_with_those_there_are(arguments, tmp_path, capsys):
    assert run_script("scripts/ablate.py", *arguments, "--variants=default,no nu") == 2
    said = capsys.readouterr().err
    assert "'no nu'" in said
    assert "without nu" in said
    assert not (tmp_path / "out").exists()
