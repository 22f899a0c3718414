"""scripts/restore.py as a user calls it."""

import json
import os
import pathlib
import runpy
import shutil
import subprocess
import sys
import unittest.mock

import numpy as np
import pytest
from conftest import own_flags

from tfgpr import images, metrics, tasks

ROOT = pathlib.Path(__file__).parent.parent


def run_script(name, *arguments):
    """Runs a script in this process; returns its exit code."""
    with own_flags(), unittest.mock.patch.object(sys, "argv", [name, *map(str, arguments)]):
        try:
            runpy.run_path(str(ROOT / name), run_name="__main__")
        except SystemExit as end:
            return end.code or 0
    return 0


@pytest.fixture
def prior_dir(tiny_prior, tmp_path):
    tiny_prior.save(tmp_path / "prior")
    return tmp_path / "prior"


@pytest.fixture
def faces(tiny_prior, tmp_path):
    for i, face in enumerate(tiny_prior.sample(3, seed=4).numpy()):
        images.write_png(tmp_path / "faces" / f"face{i}.png", face)
    return tmp_path / "faces"


@pytest.mark.parametrize("task", tasks.TASKS)
def test_a_folder_is_degraded_restored_and_reported(task, prior_dir, faces, tmp_path):
    output = tmp_path / "out"
    arguments = [f"--task={task}", f"--input={faces}", f"--output={output}", "--corrupt"]
    arguments += [f"--model_dir={prior_dir}", "--iterations=20", "--batch_size=2"]
    assert run_script("scripts/restore.py", *arguments) == 0
    names = sorted(path.name for path in output.iterdir())
    assert names == ["comparison.png", "face0.png", "face1.png", "face2.png", "report.json"]
    report = json.loads((output / "report.json").read_text())
    for row in report["images"]:
        clean = images.read_image(faces / f"{row['name']}.png")[None] / np.float32(255)
        restored = images.read_image(output / f"{row['name']}.png")[None] / np.float32(255)
        error, reported = np.sqrt(((restored - clean) ** 2).mean()), 10 ** (-row["psnr"] / 20)
        assert reported == pytest.approx(error, abs=0.5 / 255)  # the file has 8 bits
        assert row["ssim"] == pytest.approx(metrics.ssim(restored, clean).numpy()[0], abs=0.01)
    mean = np.mean([row["psnr"] for row in report["images"]])
    assert report["mean"]["psnr"] == pytest.approx(mean, abs=1e-4)
    method = tasks.TASKS[task]().default.with_iterations(20)
    assert type(method.optimizer).__name__ in report["method"]
    assert "iterations=20" in report["method"]


def test_an_observed_image_with_its_mask(prior_dir, faces, tmp_path):
    known = np.ones((32, 32), np.uint8) * 255
    known[10:20, 5:25] = 0
    images.write_png(tmp_path / "mask.png", known)
    arguments = ["--task=inpainting", f"--input={faces / 'face1.png'}", f"--model_dir={prior_dir}"]
    arguments += [f"--known={tmp_path / 'mask.png'}", "--iterations=5"]
    assert run_script("scripts/restore.py", *arguments, f"--output={tmp_path / 'out'}") == 0
    restored = images.read_image(tmp_path / "out" / "face1.png")
    given = images.read_image(faces / "face1.png")
    np.testing.assert_array_equal(restored[known == 255], given[known == 255])
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert "psnr" not in report["mean"], "nobody knows the original"


def test_low_resolution_and_quantised_files_are_observations(prior_dir, faces, tmp_path):
    clean = images.read_image(faces / "face0.png")
    small = images.crop_and_resize(clean, 8, 1.0)
    images.write_png(tmp_path / "small.png", small)
    images.write_png(tmp_path / "coarse.png", np.round(clean / 255 * 4) / 4)
    for task, name, size in (
        ("super_resolution", "small", 8),
        ("dequantization", "coarse", 32),
    ):
        output = tmp_path / task
        arguments = [f"--task={task}", f"--input={tmp_path / name}.png", f"--output={output}"]
        arguments += [f"--model_dir={prior_dir}", "--iterations=5"]
        assert run_script("scripts/restore.py", *arguments) == 0
        restored = images.read_image(output / f"{name}.png")
        assert restored.shape == (32, 32, 3)
        if task == "super_resolution":
            low = images.crop_and_resize(restored, size, 1.0).astype(int)
            assert np.abs(low - small).mean() < 2
        else:
            assert np.abs(restored / 255 - np.round(clean / 255 * 4) / 4).max() < 0.13


def test_colorization_from_the_value_keeps_the_value(prior_dir, faces, tmp_path):
    arguments = ["--task=colorization", "--value", "--corrupt", f"--input={faces}"]
    arguments += [f"--output={tmp_path / 'out'}", f"--model_dir={prior_dir}", "--iterations=5"]
    assert run_script("scripts/restore.py", *arguments) == 0
    clean = images.read_image(faces / "face2.png").max(axis=-1).astype(int)
    restored = images.read_image(tmp_path / "out" / "face2.png").max(axis=-1)
    assert np.abs(restored - clean).max() <= 1


def bad_inputs(tmp_path, faces):
    whole = (faces / "face0.png").read_bytes()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("keep")
    (tmp_path / "broken_prior").mkdir()
    (tmp_path / "broken_prior" / "model.json").write_text("{")
    for name, value in (("all", 255), ("none", 0)):
        images.write_png(tmp_path / f"{name}.png", np.full((32, 32), value, np.uint8))
    images.write_png(tmp_path / "large.png", np.zeros((50, 50), np.uint8))
    shutil.copy(faces / "face0.png", tmp_path / "face0.png")
    return {
        "no image": (["--input={}/text.png"], "text.png"),
        "truncated": (["--input={}/half.png"], "half.png"),
        "absent": (["--input={}/nowhere.png"], "nowhere.png"),
        "empty folder": (["--input={}/empty"], "with none"),
        "no mask": (["--task=inpainting", "--nocorrupt"], "--known=MASK.png"),
        "mask absent": (["--task=inpainting", "--known={}/nowhere.png"], "absent"),
        "mask is no image": (["--task=inpainting", "--known={}/text.png"], "text.png"),
        "mask of another size": (["--task=inpainting", "--known={}/large.png"], "50x50"),
        "mask knows all": (["--task=inpainting", "--known={}/all.png"], "every pixel"),
        "mask knows none": (["--task=inpainting", "--known={}/none.png"], "knows none"),
        "mask without need": (["--known={}/all.png"], "no mask"),
        "prior absent": (["--model_dir={}/nowhere"], "Expected a prior"),
        "prior broken": (["--model_dir={}/broken_prior"], "damaged"),
        "no iterations": (["--iterations=0"], "iterations"),
        "negative iterations": (["--iterations=-5"], "iterations"),
        "output taken": (["--output={}/full"], "--overwrite"),
        "output that cannot be": (["--output=/proc/nowhere/out"], "can be written"),
        "output too long": (["--output={}/" + "o" * 300], "can be written"),
        "output below a file": (["--output={}/text.png/out"], "is a file"),
        "unknown task": (["--task=sharpening"], "inpainting"),
        "seed too large": ([f"--seed={10**20}"], "seed"),
        "unknown flag": (["--tusk=denoising"], "tusk"),
        "wrong size": (["--crop=none", "--input={}/large.png"], "32x32"),
        "not quantised": (["--task=dequantization", "--nocorrupt"], "5 levels"),
        "value without color": (["--value"], "colorization"),
        "stray argument": (["face.png"], "flags only"),
    }


def test_bad_input_is_one_line_and_exit_code_2_and_writes_nothing(
    prior_dir, faces, tmp_path, capsys
):
    usual = ["--task=denoising", f"--input={faces}", f"--output={tmp_path / 'out'}"]
    usual += [f"--model_dir={prior_dir}", "--iterations=3", "--corrupt"]
    for name, (bad, message) in bad_inputs(tmp_path, faces).items():
        before = sorted(tmp_path.rglob("*"))
        arguments = [argument.replace("{}", str(tmp_path)) for argument in bad]
        code = run_script("scripts/restore.py", *usual, *arguments)
        error = capsys.readouterr().err
        assert code == 2, name
        assert message in error, name
        assert error.strip().splitlines()[-1].startswith("error: "), name
        assert "Traceback" not in error, name
        assert sorted(tmp_path.rglob("*")) == before, name


def test_a_full_disk_is_one_line(prior_dir, faces, tmp_path, capsys, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("PIL.Image.Image.save", full)
    arguments = ["--task=denoising", f"--input={faces}", f"--output={tmp_path / 'out'}"]
    arguments += [f"--model_dir={prior_dir}", "--iterations=3", "--corrupt"]
    assert run_script("scripts/restore.py", *arguments) == 2
    assert "No space left" in capsys.readouterr().err
    assert not list(tmp_path.glob("*out*"))


def test_the_command_of_the_readme_restores_the_free_face(tmp_path):
    """A process of its own, with the shipped prior, as in the README."""
    command = [sys.executable, "scripts/restore.py", "--task=inpainting", "--corrupt"]
    command += ["--input=tfgpr/assets/astronaut.png", f"--output={tmp_path / 'out'}"]
    run = subprocess.run(
        [*command, "--iterations=30"], cwd=ROOT, env=os.environ, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["mean"]["psnr"] > 17  # the gray hole alone scores 12
    assert (tmp_path / "out" / "comparison.png").exists()


def test_bad_training_input_is_one_line_and_exit_code_2(faces, tmp_path, capsys):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("keep")
    usual = ["--image_size=32", "--nocrop", "--batch_size=2", "--base_channels=4"]
    usual += [f"--data_dir={faces}", f"--model_dir={tmp_path / 'run'}"]
    cases = {
        "absent": ([f"--data_dir={tmp_path / 'nowhere'}"], "absent"),
        "no data": (["--data_dir="], "--data_dir"),
        "too few": (["--batch_size=64"], "Received: 3"),
        "taken": ([f"--model_dir={tmp_path / 'taken'}"], "already holds"),
        "nothing to resume": (["--resume"], "Nothing to resume"),
        "size": (["--image_size=48"], "48"),
        "epochs": (["--epochs=0"], "epochs"),
    }
    for name, (bad, message) in cases.items():
        before = sorted(tmp_path.rglob("*"))
        code = run_script("scripts/train.py", *usual, *bad)
        error = capsys.readouterr().err
        assert code == 2, name
        assert message in error.strip().splitlines()[-1], name
        assert sorted(tmp_path.rglob("*")) == before, name
