"""What the benchmark counts is right, and what it compares with is the same computation."""

import importlib.util
import json
import types

import numpy as np
import pytest
import tensorflow as tf
from test_scripts import run_script

from tfgpr import images, initialization, machine, networks, restoration, tasks
from tfgpr.benchmark import SECTIONS, benchmark, loops, report, run
from tfgpr.benchmark.run import Setting
from tfgpr.errors import InputError


def test_flops_of_the_papers_networks_by_hand():
    generator = networks.dcgan_generator(64, 128, 100)
    dense = 100 * 4 * 4 * 1024
    taps = 5 * 5 * (16 * 1024 * 512 + 64 * 512 * 256 + 256 * 256 * 128 + 1024 * 128 * 3)
    assert machine.flops(generator) == 2 * (dense + taps)
    discriminator = networks.dcgan_discriminator(32, 8, spectral_norm=True)
    taps = 5 * 5 * (256 * 3 * 8 + 64 * 8 * 16 + 16 * 16 * 32)
    assert machine.flops(discriminator) == 2 * (taps + 4 * 4 * 32)


def test_flops_of_a_step_count_d_where_it_has_a_weight(tiny_prior):
    one, two = tasks.super_resolution().default, tasks.inpainting().paper
    without = machine.iteration_flops(tiny_prior, one)
    assert without == 2 * machine.flops(tiny_prior.generator)
    more = machine.iteration_flops(tiny_prior, two) - without
    assert more == 2 * machine.flops(tiny_prior.discriminator)


def test_the_fastest_run_counts_but_for_the_first(monkeypatch):
    now, takes = 0.0, [0.5, 5.0, 2.0, 4.0, 3.0, 1.0, 9.0, 8.0, 7.0]

    def function():
        nonlocal now
        now += takes.pop(0)

    monkeypatch.setattr(machine, "time", types.SimpleNamespace(perf_counter=lambda: now))
    assert machine.fastest(function, seconds=14.0) == 2.0  # 5 + 2 + 4 + 3
    assert takes == [1.0, 9.0, 8.0, 7.0]
    assert machine.fastest(function, seconds=0.0) == 7.0  # three at least


def test_the_rate_of_products_is_that_of_the_fastest(monkeypatch):
    def fastest(function, seconds):
        assert np.isfinite(function())
        return seconds / 4

    monkeypatch.setattr(machine, "fastest", fastest)
    assert machine.matmul_rate("float32", size=64, seconds=2.0) == 2 * 64**3 / 0.5


def test_the_machine_remembers():
    machine.reset_peak_memory()
    assert machine.peak_memory() > 50
    assert machine.describe()["cores"] >= 1


@pytest.mark.parametrize("kernel_size", [3, 4, 5])
def test_pytorch_draws_and_judges_the_same(kernel_size):
    pytest.importorskip("torch")
    import torch

    from tfgpr.benchmark import pytorch

    rng = np.random.default_rng(0)
    generator = networks.dcgan_generator(32, 4, 6, kernel_size)
    discriminator = networks.dcgan_discriminator(32, 4, kernel_size, spectral_norm=True)
    for network in (generator, discriminator):
        weights = [rng.uniform(0.1 if w.ndim == 1 else -0.2, 0.3, w.shape) for w in network.weights]
        network.set_weights(weights)
    z = rng.uniform(-1, 1, (5, 6)).astype(np.float32)
    drawn = generator(z, training=False).numpy()
    found = pytorch.ported(generator)(torch.from_numpy(z))
    np.testing.assert_allclose(pytorch.mirrored(found), drawn, atol=1e-4)
    logits = pytorch.ported(discriminator)(pytorch.mirrored(drawn))
    expected = discriminator(drawn, training=False)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", tasks.TASKS)
def test_the_published_loop_is_the_same_in_pytorch(name, tiny_prior):
    pytest.importorskip("torch")
    from tfgpr.benchmark import pytorch

    task = tasks.TASKS[name]()
    given = {}
    if name == "inpainting":
        known = np.ones((3, 32, 32, 1), np.float32)
        known[:, 4:17, 10:29] = 0  # not symmetric: a mirrored one would differ
        given = {"known": known}
    observed = task.corruption(tiny_prior.sample(3, seed=5), **given)
    z0 = initialization.ClippedNormal()(tiny_prior, None, observed, 1, 0)[:, 0]
    loop = pytorch.PublishedLoop(tiny_prior, task)
    method = task.paper.with_iterations(7)
    problem = restoration._Problem(tiny_prior, task, method)
    search = problem.start(observed, given, tf.constant([0], tf.int64))
    expected, _ = problem.advance(search, observed, given, 7)
    found = loop.search(observed, z0, 7, **given)
    assert np.abs(found - z0).max() > 1e-3
    np.testing.assert_allclose(found, expected.z, atol=2e-3)


def quick(prior, folder, **changes):
    prior.save(folder / "prior", overwrite=True)
    settings = {
        "load": lambda dtype: prior,
        "task": tasks.inpainting(),
        "images": prior.sample(3, seed=2).numpy(),
        "single_images": 2,
        "paper_iterations": 3,
        "pytorch": importlib.util.find_spec("torch") is not None,
        "seconds": 0.0,
        "dtype": "float32",
        "model_dir": str(folder / "prior"),
        "processes": 1,
        "budgets": (1, 30),
        "batches": (1, 2),
        "iterations": (4,),
        "widths": (4,),
        "training_batches": (2,),
    }
    return Setting(**{**settings, **changes})


def test_every_section_is_measured_and_a_run_continues(tiny_prior, tmp_path, monkeypatch):
    output = tmp_path / "benchmark.json"
    setting = quick(tiny_prior, tmp_path)

    def interrupt(*_):
        raise KeyboardInterrupt

    (tmp_path / "benchmark.png").write_text("somebody's")
    with pytest.raises(InputError, match=r"benchmark\.png is there already"):
        benchmark(setting, output)
    (tmp_path / "benchmark.png").unlink()
    with monkeypatch.context() as patched:
        patched.setitem(SECTIONS, "startup", interrupt)
        with pytest.raises(KeyboardInterrupt):
            benchmark(setting, output)
    assert not output.exists()
    before = json.loads((tmp_path / "benchmark.partial.json").read_text())["sections"]
    assert list(before) == ["loops", "target", "rate", "scaling"]
    with pytest.raises(InputError, match="other settings"):
        benchmark(quick(tiny_prior, tmp_path, paper_iterations=2), output)
    found = benchmark(setting, output)
    assert json.loads(output.read_text()) == json.loads(json.dumps(found))
    assert not (tmp_path / "benchmark.partial.json").exists()
    sections = found["sections"]
    assert {name: sections[name] for name in before} == before
    assert list(sections) == list(SECTIONS)
    assert found["published_is_shortened"] is True

    measured = sections["loops"]
    assert len(measured) == (8 if setting.pytorch else 6)
    for name, row in measured.items():
        assert row["images"] == len(row["objectives"]) == (3 if "batch" in name else 2)
        assert row["objective"] == pytest.approx(np.mean(row["objectives"]), abs=1e-3)
        assert 5 < row["psnr"] < 100
    ours, theirs = measured["paper, TensorFlow, one batch"], measured["default, one batch"]
    assert ours["iterations"] == 3
    exported = measured["default, exported, one batch"]
    np.testing.assert_allclose(exported["objectives"], theirs["objectives"], rtol=0.02)
    assert exported["psnr"] == pytest.approx(theirs["psnr"], abs=0.05)
    assert theirs["objective"] < ours["objective"]
    if setting.pytorch:  # the last iterate there, the best one here
        same = measured["paper, PyTorch float32, one batch"]
        np.testing.assert_allclose(same["objectives"], ours["objectives"], rtol=0.1)
    searches = {name: row for name, row in sections["target"].items() if "search" in name}
    assert list(searches) == [
        f"search of {budget}, {mode}"
        for budget in setting.budgets
        for mode in ("one batch", "one at a time")
    ]
    reached = sections["target"]["end of paper, TensorFlow, one batch"]
    assert reached["objective"] == ours["objective"]
    assert "one at a time" not in reached, "that is of other images"
    best = searches[f"search of {reached['one batch']['iterations']}, one batch"]
    assert best["objective"] <= ours["objective"]
    ratio = ours["seconds_per_image"] / best["seconds_per_image"]
    assert reached["one batch"]["times_faster"] == pytest.approx(ratio)
    rate = sections["rate"]["float32"]
    share = rate["flops_per_second"] / rate["matmul_flops_per_second"]
    assert rate["share_of_limit"] == pytest.approx(share)
    assert "first_restoration" in sections["startup"]["fresh process"]
    assert [row["steps"] for row in sections["training"].values()] == [16]

    picture = images.read_image(tmp_path / "benchmark.png")
    assert picture.shape[1:] == (900, 3)
    assert picture.std() > 10
    assert "| default, one batch | 3 |" in report.table(found)
    with pytest.raises(InputError, match="there already"):
        benchmark(setting, output)


def test_a_run_with_another_nu_does_not_continue(tiny_prior, complete_prior, tmp_path, monkeypatch):
    """The two priors share G, D, their architecture and their record of training."""

    def interrupted(setting, prior, results):
        results.row("rate", "float32", lambda: {"ms_per_image_iteration": 1.0})
        raise KeyboardInterrupt

    monkeypatch.setitem(SECTIONS, "rate", interrupted)
    shown = tiny_prior.sample(3, seed=2).numpy()
    for prior in (tiny_prior, tiny_prior):
        with pytest.raises(KeyboardInterrupt):
            benchmark(quick(prior, tmp_path, images=shown), tmp_path / "a.json", ["rate"])
    with pytest.raises(InputError, match="other settings"):
        benchmark(quick(complete_prior, tmp_path, images=shown), tmp_path / "a.json", ["rate"])


def test_the_target_is_the_fastest_search_that_arrives(tiny_prior, tmp_path, monkeypatch):
    """Of a loop over single images too, whose images are the first of the batch."""
    planted = {  # objectives of the three images, seconds for each
        10: ([4.0, 8.0, 15.0], 0.5),
        20: ([4.0, 4.0, 7.0], 3.0),
        40: ([3.0, 3.0, 6.0], 2.0),
        80: ([2.0, 2.0, 5.0], 6.0),
    }

    def measure(setting, prior, method, restore, images, batch):
        objectives, seconds = planted[method.iterations]
        seconds *= 3 if batch == 1 else 1
        return row(objectives[: len(images)], seconds, batch, iterations=method.iterations)

    def row(objectives, seconds, batch, **more):
        return {
            **more,
            "images": len(objectives),
            "batch": batch,
            "objectives": objectives,
            "objective": float(np.mean(objectives)),
            "seconds_per_image": seconds,
        }

    monkeypatch.setattr(loops, "_measure", measure)
    results = run.Results(tmp_path / "a.json", {})
    for name, found in {
        "default, one batch": row([0.0] * 3, 0.1, 3),
        "paper, A, one batch": row([3.0, 4.0, 8.0], 12.0, 3),
        "paper, B, one batch": row([0.0, 4.0, 4.0], 12.0, 3),
        "paper, A, one at a time": row([5.0, 7.0], 24.0, 1),
        "paper, B, one at a time": row([2.0, 1.0], 24.0, 1),
    }.items():
        results.row("loops", name, lambda found=found: found)
    loops.target(quick(tiny_prior, tmp_path, budgets=tuple(planted)), tiny_prior, results)
    target = {
        name.removeprefix("end of paper, "): row
        for name, row in results.rows("target").items()
        if name.startswith("end")
    }
    one, alone = "one batch", "one at a time"
    assert target == {
        f"A, {one}": {"objective": 5.0, one: best(40, 2.0, 6.0)},
        f"B, {one}": {"objective": pytest.approx(8 / 3), one: {}},
        f"A, {alone}": {"objective": 6.0, one: best(10, 0.5, 48.0), alone: best(10, 1.5, 16.0)},
        f"B, {alone}": {"objective": 1.5, one: {}, alone: {}},
    }


def best(iterations, seconds, times):
    return {"iterations": iterations, "seconds_per_image": seconds, "times_faster": times}


def test_the_input_pipeline_is_measured(tiny_prior, tmp_path):
    for i, image in enumerate(tiny_prior.sample(4).numpy()):
        images.write_png(tmp_path / "faces" / f"{i}.png", image)
    tiny_prior.crop, crop = None, tiny_prior.crop
    try:
        setting = quick(tiny_prior, tmp_path, data_dir=str(tmp_path / "faces"))
        found = benchmark(setting, tmp_path / "out.json", ["training"])
    finally:
        tiny_prior.crop = crop
    row = found["sections"]["training"]["input pipeline alone"]
    assert row["images"] == 4
    assert "later_images_per_second" in row


def test_mistakes_are_named(tiny_prior, tmp_path):
    setting = quick(tiny_prior, tmp_path)
    for sections, output, message in (
        (["speed"], "a.json", "speed"),
        ([], "a.json", "sections"),
        (["target"], "a.json", "loops"),
        (["rate"], "a.txt", r"\.json"),
    ):
        with pytest.raises(InputError, match=message):
            benchmark(setting, tmp_path / output, sections)


def test_the_script(tiny_prior, tmp_path):
    tiny_prior.save(tmp_path / "prior")
    arguments = [f"--model_dir={tmp_path / 'prior'}", f"--output={tmp_path / 'a.json'}"]
    arguments += ["--sections=rate", "--task=super_resolution", "--seconds=0", "--num_images=2"]
    assert run_script("scripts/benchmark.py", *arguments) == 0
    row = json.loads((tmp_path / "a.json").read_text())["sections"]["rate"]["float32"]
    flops = row["flops_per_second"] * row["ms_per_image_iteration"] / 1e3
    step = machine.iteration_flops(tiny_prior, tasks.super_resolution().default)
    assert flops == pytest.approx(step)
    assert run_script("scripts/benchmark.py", *arguments) == 2
    assert run_script("scripts/benchmark.py", *arguments, "--widths=x", "--overwrite") == 2
