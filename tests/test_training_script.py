"""scripts/train.py as a user calls it: what it trains on, for how long, how it ends."""

import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest
from test_scripts import run_script
from test_training import TINY, batches, checkpointed

from tfgpr import machine, training, training_speed
from tfgpr.errors import InputError
from tfgpr.images import write_png
from tfgpr.prior import load_prior
from tfgpr.training_plan import Plan, TrainingImages

TRAIN = pathlib.Path(__file__).parent.parent / "scripts" / "train.py"


def test_the_plan_is_by_the_number_of_images():
    small, large = Plan.of(200, 64), Plan.of(200_000, 64)
    assert small.cutout
    assert not large.cutout
    assert small.epochs * small.steps_per_epoch < large.epochs * large.steps_per_epoch
    assert (small.picture_every, large.picture_every) == (100, 3125)
    assert "fewer than 1,000" in "".join(small.describe())
    assert "fewer" not in "".join(large.describe())
    assert Plan.of(640, 64, epochs=3).epochs == 3
    with pytest.raises(InputError, match="one batch of 64"):
        Plan.of(63, 64)


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """100 files whose color is their number."""
    folder = tmp_path_factory.mktemp("faces")
    for i in range(100):
        image = np.full((32, 32, 3), i, np.uint8)
        image[::2, ::3] = 255 - i
        write_png(folder / f"{i:03d}.png", image)
    return folder


def numbers(found):
    return [int(image[1, 1, 0]) for image in found]


def test_held_out_images_are_those_behind_or_the_last(faces):
    images = TrainingImages.of_folder(faces, 32, None, 90)
    assert images.count == 90
    assert numbers(images.held_out) == list(range(90, 94))
    assert numbers(images.sample) == list(range(4))
    trained_on = numbers(images.dataset.as_numpy_iterator())
    assert sorted(trained_on) == list(range(90))
    assert trained_on != sorted(trained_on), "mixed"
    assert numbers(TrainingImages.of_folder(faces, 32, None).held_out) == list(range(95, 100))
    none = TrainingImages.of_folder(faces, 32, None, num_held_out=0)
    assert (none.count, len(none.held_out)) == (100, 0)
    with pytest.raises(InputError, match="beside 100 held out"):
        TrainingImages.of_folder(faces, 32, None, num_held_out=100)


def test_the_script_trains_and_keeps_the_best(faces, tmp_path, capsys):
    model_dir = tmp_path / "run"
    code = run_script(
        "scripts/train.py", f"--data_dir={faces}", f"--model_dir={model_dir}", "--epochs=1",
        "--image_size=32", "--crop_fraction=1", "--base_channels=4", "--latent_dim=4",
        "--batch_size=30", "--judge_every=2", "--dtype=float32",
    )  # fmt: skip
    assert code == 0
    said = capsys.readouterr().out
    assert "95 images, 1 epochs of 3 steps" in said
    assert "fewer than 1,000" in said
    prior = load_prior(model_dir)
    assert prior.image_size == 32
    assert prior.crop == 1.0
    assert prior.training["recipe"]["cutout"]
    assert prior.training["health"]["step"] in (2, 3)
    assert np.isfinite(prior.training["health"]["inversion_psnr"])
    assert list((model_dir / "samples").iterdir())


# A parent that runs in the background may have handed down that SIGINT is ignored.
WITH_SIGINT = (
    "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    f"runpy.run_path({str(TRAIN)!r}, run_name='__main__')"
)


def test_ctrl_c_ends_with_a_checkpoint_and_a_usable_prior(faces, tmp_path):
    model_dir = tmp_path / "run"
    command = [sys.executable, "-c", WITH_SIGINT, f"--data_dir={faces}"]
    command += [f"--model_dir={model_dir}", "--image_size=32", "--nocrop", "--base_channels=4"]
    command += ["--latent_dim=6", "--batch_size=16", "--epochs=100000", "--dtype=float32"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ
    )
    said = ""
    try:
        for line in process.stdout:
            said += line
            if "a step:" in line:  # the estimate, after 25 steps
                process.send_signal(signal.SIGINT)
                break
        said += process.communicate(timeout=400)[0]
    finally:
        process.kill()
    assert process.returncode == 130, said
    assert "take about" in said
    assert "Interrupted at step" in said
    prior = load_prior(model_dir)
    (steps,) = [int(v) for v in checkpointed(model_dir, "steps").values() if v.ndim == 0]
    assert prior.training["steps"] == steps >= 25
    assert np.isfinite(prior.sample(2).numpy()).all()
    assert (model_dir / "state.npz").is_file()


def test_a_step_is_timed_with_its_share_of_r1_and_of_fetching(monkeypatch):
    gan = TINY.gan(TINY.prior("float32"))
    batch, fetched, timed = next(iter(batches(0))), [], []

    def fetch():
        while True:
            fetched.append(int(gan.steps))
            yield batch

    def fastest(run, seconds, least):
        timed.append((seconds, least))
        run()
        return 4.0

    monkeypatch.setattr(machine, "fastest", fastest)
    assert training_speed.step_seconds(gan, fetch(), seconds=7.0) == 4.0 / 16
    assert timed == [(7.0, 1)]
    assert fetched == list(range(16)), "each step trains, on images of its own; R1 is at step 0"


def test_the_shares_of_speed_are_those_of_planted_times(monkeypatch):
    seconds = iter([0.5, 0.8])  # a step whose images are there, and one that fetches them
    monkeypatch.setattr(training_speed, "step_seconds", lambda gan, batches: next(seconds))
    monkeypatch.setattr(machine, "matmul_rate", lambda dtype: 1e9)
    held = training.Recipe(**{**TINY.__dict__, "reconstruction_weight": 1.0})
    found = training_speed.measure(held, batches(0), "float32")
    assert found["images_per_second"] == 8 / 0.8
    assert found["pipeline_share"] == pytest.approx(1 - 0.5 / 0.8)
    gan = held.gan(held.prior("float32"))
    g, d, e = map(machine.flops, (gan.generator, gan.discriminator, gan.encoder))
    # Each of G (its draw; G(E(x))), E and D (on real, on generated images) goes forward, back to
    # its weights and back to what it was given; D once more back, for G.
    assert found["matrix_share"] == pytest.approx(8 * (3 * g + 7 * d + 3 * e + 3 * g) / 0.5 / 1e9)
