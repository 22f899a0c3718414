"""What a run leaves, and how another goes on from it; `test_training_failures`: how runs fail."""

import csv
import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tfgpr import data, gan, judge, networks, residual, training, training_run
from tfgpr.errors import InputError
from tfgpr.prior import load_prior
from tfgpr.training_state import load_state

TINY = training.Recipe(
    image_size=32, crop=None, base_channels=4, latent_dim=6, batch_size=8, augment=False
)


def batches(seed):
    images = np.random.default_rng(0).integers(0, 256, (16, 32, 32, 3), np.uint8)
    dataset = tf.data.Dataset.from_tensor_slices(images)
    return data.training_batches(dataset, 16, 8, seed=seed)


def checkpointed(model_dir, name):
    reader = tf.train.load_checkpoint(str(model_dir / "checkpoints"))
    keys = [key for key in reader.get_variable_to_shape_map() if key.startswith(name)]
    return {key: reader.get_tensor(key) for key in sorted(keys)}


def kernels(model_dir, name):
    return {k: v for k, v in checkpointed(model_dir, name).items() if v.ndim > 1}


def begin(monkeypatch, recipe, model_dir, **settings):
    """A run that is killed before its first step: its checkpoint is what it began with."""

    def killed(*args, **kwargs):
        raise SystemExit("killed")

    with monkeypatch.context() as patched:
        patched.setattr(training.GAN, "fit", killed)
        with pytest.raises(SystemExit):
            training.train(recipe, batches, 3, 99, model_dir, **settings)


def test_a_run_leaves_a_prior_samples_logs_and_checkpoints(tmp_path):
    model_dir = tmp_path / "run"
    prior = training.train(TINY, batches, 3, 2, model_dir, dtype="float32")
    assert prior.training["steps"] == 6
    loaded = load_prior(model_dir, "float32")
    np.testing.assert_allclose(loaded.sample(3), prior.sample(3), atol=2e-3)
    assert [path.name for path in sorted((model_dir / "samples").iterdir())] == [
        "epoch_0001.png",
        "epoch_0002.png",
    ]
    assert len((model_dir / "log.csv").read_text().splitlines()) == 3
    assert list((model_dir / "tensorboard").rglob("events*"))


def test_a_resumed_run_starts_from_all_that_was_saved(tmp_path):
    model_dir = tmp_path / "run"
    training.train(TINY, batches, 3, 1, model_dir, dtype="float32")
    names = ("steps", "generator/", "ema_generator/", "discriminator_optimizer/")
    before = {name: checkpointed(model_dir, name) for name in names}
    # No epoch is left: resuming restores the state and saves it again.
    training.train(TINY, batches, 3, 1, model_dir, resume=True, dtype="float32")
    for name in names:
        after = checkpointed(model_dir, name)
        assert after.keys() == before[name].keys()
        for key, value in after.items():
            np.testing.assert_array_equal(value, before[name][key])
    moments = [value for value in before["discriminator_optimizer/"].values() if value.ndim]
    assert any(np.abs(value).max() > 0 for value in moments)
    training.train(TINY, batches, 3, 3, model_dir, resume=True, dtype="float32")
    steps = [value for key, value in checkpointed(model_dir, "steps").items() if value.ndim == 0]
    assert steps == [9]


def test_an_ended_run_goes_on_elsewhere_from_its_small_state(tmp_path, monkeypatch):
    training.train(TINY, batches, 3, 2, tmp_path / "first", dtype="float32")
    state = tmp_path / "first" / "state.npz"
    settings = {"start_from": state, "dtype": "float32"}
    begin(monkeypatch, TINY, tmp_path / "second", **settings)

    def compare(name):
        pairs = zip(*(checkpointed(tmp_path / run, name).values() for run in ("first", "second")))
        return [(np.allclose(b, a, 4e-3, 1e-6), not b.any(), a.ndim > 0) for a, b in pairs]

    for name in ("generator/", "discriminator/", "ema_generator/"):
        assert all(same for same, _, _ in compare(name)), name
    moments = [(same, zero) for same, zero, moment in compare("discriminator_optimizer/") if moment]
    assert all(same or zero for same, zero in moments), "second moments stay, first start anew"
    assert sum(same and not zero for same, zero in moments) == len(moments) // 2
    prior = training.train(TINY, batches, 3, 4, tmp_path / "third", **settings)
    assert prior.training["steps"] == 12
    # The width of D is E's too.
    for name, value, was in (("latent_dim", 9, "6"), ("discriminator_channels", 5, "None")):
        other = training.Recipe(**{**TINY.__dict__, name: value})
        with pytest.raises(InputError, match=f"{name}: {was}"):
            training.train(other, batches, 3, 4, tmp_path / "fourth", **settings)
    assert not (tmp_path / "fourth").exists()
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(InputError, match="training state"):
        training.train(TINY, batches, 3, 4, tmp_path / "fourth", **settings)


def test_a_state_keeps_a_variance_beyond_float16(tmp_path):
    gan, other = (TINY.gan(TINY.prior("float32")) for _ in range(2))
    weights = gan.generator.get_weights()
    large = [index for index, weight in enumerate(weights) if (weight == 1).all()][-1]
    weights[large] = np.linspace(60_000, 200_000, len(weights[large])).astype(np.float32)
    gan.generator.set_weights(weights)
    training.save_state(gan, tmp_path / "state.npz", {})
    training.load_state(other, tmp_path / "state.npz", {}, {})
    np.testing.assert_allclose(other.generator.get_weights()[large], weights[large], rtol=1e-3)


def test_a_run_goes_on_with_another_discriminator(tmp_path, monkeypatch):
    settings = {"dtype": "float32"}
    training.train(TINY, batches, 3, 1, tmp_path / "first", **settings)
    settings["start_from"] = tmp_path / "first" / "state.npz"
    changed = {"discriminator_batch_norm": True, "r1_gamma": 0.0, "augment": True}
    other = training.Recipe(**{**TINY.__dict__, **changed})
    begin(monkeypatch, other, tmp_path / "second", **settings)
    for name in ("generator/", "ema_generator/"):
        pairs = zip(*(checkpointed(tmp_path / run, name).values() for run in ("first", "second")))
        assert all(np.allclose(b, a, 4e-3, 1e-6) for a, b in pairs)
    moments = {
        name: [v for v in checkpointed(tmp_path / "second", f"{name}_opt").values() if v.ndim]
        for name in ("generator", "discriminator")
    }
    assert any(moment.any() for moment in moments["generator"])
    assert not any(moment.any() for moment in moments["discriminator"])
    # Six steps of the new D, of which G heeds none or the last.
    begun = kernels(tmp_path / "second", "generator/")
    for first_steps, waited in ((6, True), (5, False)):
        monkeypatch.setattr(gan, "_FIRST_STEPS", first_steps)
        run = tmp_path / f"heeded after {first_steps}"
        prior = training.train(other, batches, 3, 3, run, **settings)
        assert prior.training["steps"] == 9
        assert prior.architecture["discriminator"]["batch_norm"]
        after = kernels(run, "generator/")
        assert len(after) == 4
        assert all(np.array_equal(value, begun[key]) == waited for key, value in after.items())
    # The small state of such a run knows how young its D is.
    monkeypatch.setattr(gan, "_FIRST_STEPS", 7)
    settings["start_from"] = run / "state.npz"
    again = other.gan(other.prior("float32"))
    load_state(again, run / "state.npz", *2 * [dataclasses.asdict(other)])
    ages = [int(getattr(again, f"{name}_optimizer").iterations.numpy()) for name in again.trained]
    assert ages == [9, 6]
    assert float(again._heed()) == 0


def test_a_run_with_an_encoder_can_begin_anywhere_and_leaves_it_with_the_prior(
    tmp_path, monkeypatch
):
    settings = {"dtype": "float32"}
    training.train(TINY, batches, 3, 1, tmp_path / "plain", **settings)
    held = training.Recipe(**{**TINY.__dict__, "reconstruction_weight": 3.0})
    settings["start_from"] = tmp_path / "plain" / "state.npz"
    training.train(held, batches, 3, 2, tmp_path / "held", **settings)
    encoder = checkpointed(tmp_path / "held", "encoder/")
    assert encoder
    assert any(value.any() for value in checkpointed(tmp_path / "held", "encoder_opt").values())
    prior = load_prior(tmp_path / "held", "float32")
    assert prior.training["steps"] == 6
    # The prior's sees uncertainty too, but knows nothing of it yet.
    clean = networks.dcgan_encoder(32, 3, 6)
    stored = prior.encoder.network.get_weights()
    clean.set_weights([stored[0][:, :, :3], *stored[1:]])
    images = np.random.default_rng(1).random((3, 32, 32, 3), np.float32)
    for uncertainty in (0.0, 1.0):
        found = residual.evidence(tf.constant(images), uncertainty, uncertainty)
        np.testing.assert_allclose(prior.encoder(found), clean(images * 2 - 1), atol=1e-5)
    # From its own small state the encoder goes on.
    settings["start_from"] = tmp_path / "held" / "state.npz"
    begin(monkeypatch, held, tmp_path / "again", **settings)
    for key, value in checkpointed(tmp_path / "again", "encoder/").items():
        np.testing.assert_allclose(value, encoder[key], rtol=4e-3, atol=1e-6)


def test_runs_are_not_mixed_up(tmp_path):
    model_dir = tmp_path / "run"
    with pytest.raises(InputError, match="Nothing to resume"):
        training.train(TINY, batches, 3, 1, model_dir, resume=True)
    training.train(TINY, batches, 1, 1, model_dir, dtype="float32")
    with pytest.raises(InputError, match="--resume goes on"):
        training.train(TINY, batches, 3, 1, model_dir)
    other = training.Recipe(**{**TINY.__dict__, "base_channels": 8})
    with pytest.raises(InputError, match="base_channels: 4 then, 8 now"):
        training.train(other, batches, 3, 1, model_dir, resume=True)


def judged_by(psnrs):
    """A judge that measures really, but for the inversion PSNR, which is planted."""
    noise = np.random.default_rng(1).random((8, 32, 32, 3), np.float32)
    real = judge.QuickJudge(noise[:4], noise[4:], iterations=2, inversions=2)
    planted = iter(psnrs)

    def judged(prior):
        return {**real(prior), "inversion_psnr": next(planted)}

    return judged


def assert_is_of_the_end(model_dir, best, steps):
    """`last` has the weights of the last checkpoint, which are not those of the best prior."""
    last = load_prior(model_dir / "last", "float32")
    assert last.training["steps"] == steps
    assert "health" not in last.training
    ended = checkpointed(model_dir, "discriminator/")
    ended = sorted(float(np.abs(value).sum()) for value in ended.values())
    kept, found = (
        sorted(float(np.abs(value).sum()) for value in prior.discriminator.get_weights())
        for prior in (best, last)
    )
    np.testing.assert_allclose(found, ended, rtol=1e-3)
    assert not np.allclose(kept, ended, rtol=1e-3)


def test_the_best_prior_by_inversion_is_kept_and_recorded(tmp_path):
    model_dir = tmp_path / "run"
    settings = {"dtype": "float32", "judge_every": 2}
    kept = judged_by([10.0, 14.0, 12.0, 13.0])
    prior = training.train(TINY, batches, 4, 2, model_dir, judge=kept, **settings)
    assert prior.training["steps"] == 4
    assert prior.training["health"]["inversion_psnr"] == 14
    assert prior.training["health"]["step"] == 4
    assert_is_of_the_end(model_dir, prior, 8)
    with open(model_dir / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["inversion_psnr"]) for row in rows] == [14, 13]
    assert all(float(row["sliced_wasserstein"]) > 0 for row in rows)
    again = judged_by([13.5, 15.0])
    prior = training.train(TINY, batches, 4, 3, model_dir, resume=True, judge=again, **settings)
    assert prior.training["steps"] == 12, "13.5 dB after 10 steps is not the best, 15 after 12 is"
    assert prior.training["health"]["inversion_psnr"] == 15


def test_log_replaces_a_repeated_epoch_and_takes_new_columns(tmp_path):
    log = training_run.Log(tmp_path / "log.csv")
    log.on_epoch_end(0, {"d_loss": 1.0})
    log.on_epoch_end(1, {"d_loss": 2.0})
    with open(tmp_path / "log.csv", "a") as file:
        file.write("2")  # killed while writing
    log.on_epoch_end(1, {"d_loss": 3.0, "ms_ssim": 0.5})
    with open(tmp_path / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows == [
        {"epoch": "0", "d_loss": "1.0", "ms_ssim": ""},
        {"epoch": "1", "d_loss": "3.0", "ms_ssim": "0.5"},
    ]


def test_the_discriminator_may_have_a_rate_of_its_own():
    for given, expected in ((None, 1e-3), (4e-3, 4e-3)):
        settings = {"learning_rate": 1e-3, "discriminator_learning_rate": given}
        recipe = training.Recipe(**{**TINY.__dict__, **settings})
        gan = recipe.gan(recipe.prior("float32"))
        assert float(gan.generator_optimizer.learning_rate) == pytest.approx(1e-3)
        assert float(gan.discriminator_optimizer.learning_rate) == pytest.approx(expected)


def test_durations_are_in_words():
    words = {40: "40 s", 700: "12 min", 4 * 3600 + 60 * 20: "4 h 20 min"}
    for seconds, text in words.items():
        assert training_run.duration(seconds) == text


def test_a_run_goes_on_with_its_own_data_only(tmp_path):
    settings = {"dtype": "float32", "provenance": {"images": 300}}
    training.train(TINY, batches, 3, 1, tmp_path / "run", **settings)
    settings["provenance"] = {"images": 200}
    with pytest.raises(InputError, match="images: 300 then, 200 now"):
        training.train(TINY, batches, 3, 2, tmp_path / "run", resume=True, **settings)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY\x01"])
def test_what_is_no_state_is_named(content, tmp_path):
    (tmp_path / "state.npz").write_bytes(content)
    start = {"start_from": tmp_path / "state.npz", "dtype": "float32"}
    with pytest.raises(InputError, match="training state"):
        training.train(TINY, batches, 3, 1, tmp_path / "run", **start)
