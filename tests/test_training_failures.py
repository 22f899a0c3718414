"""How a run ends that is killed, is interrupted, diverges or gets no images, and what it leaves."""

import csv
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from test_training import TINY, batches, begin, checkpointed

from tfgpr import data, training, training_run
from tfgpr.errors import InputError
from tfgpr.images import write_png
from tfgpr.prior import load_prior

TRAIN = pathlib.Path(__file__).parent.parent / "scripts" / "train.py"


def test_a_killed_run_ends_with_all_its_steps(tmp_path):
    """SIGKILL at random moments; the last process ends the run as if nothing had been."""
    rng = np.random.default_rng(0)
    faces = tmp_path / "faces"
    for i in range(16):
        write_png(faces / f"{i}.png", rng.random((32, 32, 3)))
    model_dir = tmp_path / "run"
    command = [sys.executable, str(TRAIN), f"--data_dir={faces}", f"--model_dir={model_dir}"]
    command += ["--image_size=32", "--nocrop", "--base_channels=4", "--latent_dim=6"]
    command += ["--batch_size=8", "--epochs=40", "--checkpoint_minutes=0", "--dtype=float32"]

    def start(*flags):
        return subprocess.Popen(
            [*command, *flags], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=os.environ
        )

    def wait_for_checkpoint(process, known):
        deadline = time.monotonic() + 240
        state = model_dir / "checkpoints" / "checkpoint"
        while time.monotonic() < deadline and process.poll() is None:
            if state.exists() and state.read_text() != known:
                return
            time.sleep(0.05)

    known = ""
    for attempt in range(2):
        process = start(*(["--resume"] if attempt else []))
        wait_for_checkpoint(process, known)
        time.sleep(random.Random(attempt).uniform(0, 0.5))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        known = (model_dir / "checkpoints" / "checkpoint").read_text()
    last = start("--resume")
    _, errors = last.communicate(timeout=400)
    assert last.returncode == 0, errors.decode()
    description = json.loads((model_dir / "model.json").read_text())
    assert description["training"]["steps"] == 80
    load_prior(model_dir)
    with open(model_dir / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    epochs = [int(row["epoch"]) for row in rows]
    assert epochs == sorted({*epochs}), "none twice"
    assert epochs[-1] == 39
    assert (model_dir / "samples" / "epoch_0040.png").is_file()
    for name in ("d_loss", "g_loss", "r1"):
        assert np.isfinite([float(row[name]) for row in rows]).all()


def test_a_diverged_run_says_so_and_keeps_its_last_good_state(tmp_path):
    model_dir = tmp_path / "run"
    training.train(TINY, batches, 2, 1, model_dir, dtype="float32")
    before = checkpointed(model_dir, "generator/")

    def poisoned(seed):
        return batches(seed).map(lambda images: images * np.nan)

    with pytest.raises(InputError, match=r"diverged.*--start_from=.*state.npz"):
        training.train(TINY, poisoned, 2, 2, model_dir, resume=True, dtype="float32")
    for key, value in checkpointed(model_dir, "generator/").items():
        np.testing.assert_array_equal(value, before[key])
    slower = training.Recipe(**{**TINY.__dict__, "learning_rate": 1e-5})
    start = {"start_from": model_dir / "state.npz", "dtype": "float32"}
    prior = training.train(slower, batches, 2, 2, tmp_path / "slower", **start)
    assert prior.training["steps"] == 4
    with pytest.raises(InputError, match="more epochs than the 2 steps"):
        training.train(slower, batches, 2, 1, tmp_path / "no_epoch_left", **start)


def test_interrupting_saves_and_the_rest_of_the_epoch_follows(tmp_path, capsys, monkeypatch):
    model_dir = tmp_path / "run"
    original = training.GAN.fit

    def fit(self, *args, **kwargs):
        original(self, *args, **{**kwargs, "steps_per_epoch": 2, "epochs": 1})
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training.GAN, "fit", fit)
        with pytest.raises(KeyboardInterrupt):
            training.train(TINY, batches, 4, 2, model_dir, dtype="float32")
    assert "Interrupted at step 2" in capsys.readouterr().out
    assert load_prior(model_dir).training["steps"] == 2
    prior = training.train(TINY, batches, 4, 2, model_dir, resume=True, dtype="float32")
    assert prior.training["steps"] == 8


def test_ctrl_c_within_tensorflow_waits_for_the_end_of_the_step(tmp_path, monkeypatch):
    """Keras 2 writes a summary in each step, where C code made a TypeError of CTRL-C."""
    stepped = []
    original = training_run.Run.on_train_batch_end

    def lose_interrupt(self, batch, logs=None):
        stepped.append(self.gan.steps.numpy())
        if len(stepped) == 3:
            try:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0)  # the handler has run
            except KeyboardInterrupt:
                raise TypeError("Was eager Context initialized?") from None
        original(self, batch, logs)

    monkeypatch.setattr(training_run.Run, "on_train_batch_end", lose_interrupt)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            training.train(TINY, batches, 4, 2, tmp_path / "run", dtype="float32")
    finally:
        signal.signal(signal.SIGINT, before)
    assert stepped == [1, 2, 3]
    assert load_prior(tmp_path / "run").training["steps"] == 3


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    gan, prior = TINY.gan(TINY.prior("float32")), TINY.prior("float32")
    run = training_run.Run(gan, prior, tmp_path, 9, 0, None, 0, 1)
    run.save()
    good = run.manager.latest_checkpoint
    gan.ema_generator.weights[0].assign(np.nan * gan.ema_generator.weights[0])
    with pytest.raises(InputError, match="weights of the ema_generator"):
        run.save()
    assert run.manager.latest_checkpoint == good


def test_a_discriminator_that_has_won_ends_the_run_with_its_last_good_state(tmp_path, monkeypatch):
    """Real images are far from what G can draw in a few steps; D's rate is high."""
    monkeypatch.setattr(training_run, "CHECK_EVERY", 5)
    monkeypatch.setattr(training_run, "PATIENCE", 20)
    recipe = training.Recipe(**{**TINY.__dict__, "r1_gamma": 0.0, "learning_rate": 3e-3})

    def checkered(seed):
        board = np.indices((32, 32)).sum(axis=0) % 2
        images = np.tile(np.float32(board)[None, :, :, None], (8, 1, 1, 3))
        return tf.data.Dataset.from_tensors(images).repeat()

    def frozen(self, optimizer, gradients, network):
        if network is self.discriminator:
            optimizer.apply_gradients(zip(gradients, network.trainable_variables))

    monkeypatch.setattr(training.GAN, "_apply", frozen)
    with pytest.raises(InputError, match=r"D's loss has been below .* last good state"):
        training.train(
            recipe, checkered, 400, 1, tmp_path / "run", dtype="float32", checkpoint_minutes=0
        )
    (steps,) = [int(v) for v in checkpointed(tmp_path / "run", "steps").values() if v.ndim == 0]
    assert 0 < steps < 380, "saved before D won, not while it was winning"
    training.train(recipe, batches, steps, 1, tmp_path / "run", resume=True, dtype="float32")


def test_a_discriminator_that_runs_away_ends_the_run_while_its_losses_are_finite(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(training_run, "CHECK_EVERY", 1)
    wild = {"r1_gamma": 0.0, "discriminator_learning_rate": 0.3}
    recipe = training.Recipe(**{**TINY.__dict__, **wild})
    with pytest.raises(InputError, match=r"run away to \d.*--discriminator_learning_rate"):
        training.train(
            recipe, batches, 200, 1, tmp_path / "run", dtype="float32", checkpoint_minutes=0
        )
    for value in checkpointed(tmp_path / "run", "discriminator/").values():
        assert np.isfinite(value).all()


def test_a_run_from_a_state_that_is_killed_at_once_goes_on_from_the_state(tmp_path, monkeypatch):
    settings = {"dtype": "float32"}
    training.train(TINY, batches, 3, 1, tmp_path / "first", **settings)

    start = {"start_from": tmp_path / "first" / "state.npz"}
    begin(monkeypatch, TINY, tmp_path / "second", **start, **settings)
    prior = training.train(TINY, batches, 3, 2, tmp_path / "second", resume=True, **settings)
    assert prior.training["steps"] == 6
    # Killed before even the first checkpoint: the state is asked for once more.
    shutil.rmtree(tmp_path / "second" / "checkpoints")
    # No epoch is left: what is saved is the state, not three steps from nothing.
    again = {**start, "resume": True, **settings}
    training.train(TINY, batches, 3, 1, tmp_path / "second", **again)
    for key, value in checkpointed(tmp_path / "second", "generator/").items():
        first = checkpointed(tmp_path / "first", "generator/")[key]
        np.testing.assert_allclose(value, first, rtol=4e-3, atol=1e-6)


def test_a_run_of_which_no_image_can_be_read_is_no_success(tmp_path):
    empty = tf.data.Dataset.from_tensor_slices(np.zeros([0, 32, 32, 3], np.uint8))

    def make(seed):
        return data.training_batches(empty, 8, 8, seed=seed)

    with pytest.raises(InputError, match="no image could be read"):
        training.train(TINY, make, 3, 1, tmp_path / "run", dtype="float32")
    assert not (tmp_path / "run" / "model.json").exists()
