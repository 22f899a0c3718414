"""`ablate` and its script: each row is a restoration with one thing changed."""

import dataclasses
import json

import numpy as np
import pytest
from test_scripts import run_script

from tfgpr import images, initialization, metrics, tasks
from tfgpr.evaluation import ablation
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
        restored = np.concatenate([restorer.restore(y).images for y in observed])
        errors = ((restored - clean) ** 2).mean(axis=(1, 2, 3))
        row = found["denoising"][label]
        assert row["psnr"] == pytest.approx(np.mean(-10 * np.log10(errors)), abs=0.01)
        assert row["ssim"] == pytest.approx(np.mean(metrics.ssim(restored, clean)), abs=1e-3)


def test_a_task_without_a_row_that_was_asked_for_is_a_dash(arguments, tmp_path):
    assert run_script("scripts/ablate.py", *arguments, "--variants=lambda 0") == 0
    found = json.loads((tmp_path / "out" / "ablation.json").read_text())
    scores = found["inpainting"]["lambda 0"]
    row = f"| lambda 0 | - | {scores['ssim']:.3f} / {scores['psnr']:.2f} |"
    heading = ["| | denoising | inpainting |", "|---|---|---|"]
    table = (tmp_path / "out" / "ablation.md").read_text()
    assert table.splitlines() == [*heading, row]


@pytest.mark.parametrize("name", ["inpainting", "denoising"])
def test_rows_change_what_their_names_say(name):
    default = tasks.TASKS[name]().default
    assert (default.iterations, default.optimizer.decay_steps) == (10, 10)

    def lasting(steps):
        adam = dataclasses.replace(default.optimizer, decay_steps=steps)
        return {"iterations": steps, "optimizer": adam, "unaided": None}

    screened = {"initialization": initialization.Screened()}
    changes = {
        "without nu": {"residual": False},
        "screened start": screened,
        "the start alone": lasting(1),
        "80 steps": lasting(80),
        "screened, 80 steps": {**lasting(80), **screened},
        "nu without G": {**lasting(1), "weight": 0.0},
        "nu not learned": {"grain": 0.0},
    }
    # A row that would be the default's is left out.
    changes |= {"lambda 0": {"weight": 0.0}} if default.weight else {"lambda 30": {"weight": 30.0}}
    changes |= {"no grain": {"grain": 0.0}} if default.grain else {}
    expected = {label: dataclasses.replace(default, **each) for label, each in changes.items()}
    assert ablation.changes(default) == {"default": default, **expected}


def test_nu_without_g_stands_beside_the_mean_of_draws(tiny_prior):
    blind = ablation.with_mean_drawing(tiny_prior, draws=300)  # in two batches
    mean = tiny_prior.generate(tiny_prior.latent.sample(300, (0, 0))).numpy().mean(axis=0)
    for prior in (blind, blind.folded()):
        drawn = prior.generate(tiny_prior.latent.sample(3, (5, 5)))
        np.testing.assert_allclose(drawn, np.stack([mean] * 3), atol=1e-5)
    assert ablation.PRIORS["nu without G"] is ablation.with_mean_drawing


def test_what_is_not_learned_leaves_the_prior_as_it_was(complete_prior):
    changed = ablation.PRIORS["nu not learned"](complete_prior)
    assert changed.residual is None
    assert complete_prior.residual is not None
    assert changed.encoder is complete_prior.encoder


def test_a_row_that_there_is_not_is_named_with_those_there_are(arguments, tmp_path, capsys):
    assert run_script("scripts/ablate.py", *arguments, "--variants=default,no nu") == 2
    said = capsys.readouterr().err
    assert "'no nu'" in said
    assert "without nu" in said
    assert not (tmp_path / "out").exists()
