"""The load run counts what it did, and stays within its bounds."""

import pathlib
import re
import runpy
import shutil
import threading
import time
import types

import numpy as np
import pytest
from absl import flags
from conftest import own_flags
from test_scripts import run_script

from tfgpr import tasks
from tfgpr.errors import InputError
from tfgpr.serving import export_savedmodel, load

SCRIPT = pathlib.Path(__file__).parent.parent / "export" / "load_test.py"


@pytest.fixture
def script():
    """The functions of export/load_test.py, its flags as they are by default."""
    with own_flags():
        module = runpy.run_path(str(SCRIPT), run_name="load_test")
        flags.FLAGS(["load_test", "--model_base_path=none"])
        yield module


def test_as_many_clients_as_asked_for_work_at_a_time():
    together = threading.Barrier(4, timeout=30)  # breaks unless 4 wait at once
    found = load.measure(together.wait, clients=4, batch=2, seconds=60, requests=12)
    assert found["requests"] == 12
    assert found["images_per_second"] == pytest.approx(2 * found["requests_per_second"])
    assert 0 <= found["p50"] <= found["p95"] <= found["p99"]


def test_no_request_starts_after_the_time_is_over():
    found = load.measure(lambda: time.sleep(0.02), clients=2, batch=1, seconds=0, requests=1000)
    assert found["requests"] <= 2


def test_a_failure_ends_the_run():
    calls = []

    def fail():
        calls.append(None)
        raise ValueError("gone")

    with pytest.raises(ValueError, match="gone"):
        load.measure(fail, clients=3, batch=1, seconds=60, requests=100)
    assert len(calls) <= 3


def test_the_figures_are_those_of_a_planted_clock(script, monkeypatch, capsys):
    now, takes = 0.0, [50.0, 1.0, 4.0, 2.0, 9.0]  # the first is not counted

    def restore():
        nonlocal now
        now += takes.pop(0)

    monkeypatch.setattr(load, "time", types.SimpleNamespace(monotonic=lambda: now))
    flags.FLAGS.seconds = 6.0
    row = script["measure"]("process", restore, clients=1, batch=5)
    assert takes == [9.0], "no request starts after 6 s"
    about = {"where": "process", "clients": 1, "batch": 5, "requests": 3}
    rates = {"requests_per_second": 3 / 7, "images_per_second": 15 / 7}
    assert row == pytest.approx({**about, **rates, "p50": 2.0, "p95": 3.8, "p99": 3.96})
    assert "0.43      2.14   2.000   3.800   3.960" in capsys.readouterr().out


def test_only_servers_on_this_machine_are_loaded(script):
    for target in (None, "localhost:8500", "127.0.0.1:8500", "127.9.8.7:80", "[::1]:8500"):
        flags.FLAGS.target = target
        script["require_loopback"]()
    for host in ("192.168.0.7", "0.0.0.0", "[2001:db8::1]", "localhost.example.com", "127.com"):
        flags.FLAGS.target = f"{host}:8500"
        with pytest.raises(InputError, match="on this machine"):
            script["require_loopback"]()


def test_an_export_that_cannot_be_loaded_is_one_line(tiny_prior, tmp_path, capsys):
    task = tasks.denoising()
    export_savedmodel(tiny_prior, tmp_path / "good", tasks=[task], iterations=1)
    for name, change in (
        ("none", lambda file: file.unlink()),
        ("half", lambda file: file.write_text(file.read_text()[:-9])),
        ("other", lambda file: file.write_text('{"tasks": {"denoising": {}}, "prior": {}}')),
        ("newer", lambda file: file.write_text(file.read_text().replace('noise_stddev"', 'n"'))),
    ):
        shutil.copytree(tmp_path / "good", tmp_path / name)
        change(tmp_path / name / "1" / "metadata.json")
    (tmp_path / "empty").mkdir()
    for base, name, message in (
        ("good", "sharpening", "Expected a task .* denoising. Received: 'sharpening'"),
        ("good", "inpainting", "Expected a task .* denoising. Received: 'inpainting'"),
        ("empty", task.name, "Expected a folder with versions"),
        ("absent", task.name, "Expected a folder with versions"),
        ("none", task.name, "metadata.json cannot be read"),
        ("half", task.name, "none of ours"),
        ("other", task.name, "none of ours"),
        ("newer", task.name, "settings of denoising that this tfgpr knows"),
    ):
        given = [f"--model_base_path={tmp_path / base}", f"--task={name}", "--target=localhost:1"]
        assert run_script("export/load_test.py", *given) == 2
        said = capsys.readouterr().err
        assert re.search(f"^error: .*{message}", said, re.M), said
        assert "Traceback" not in said


def test_a_load_run_observes_as_many_pictures_as_asked_for(script):
    pictures = np.random.default_rng(0).random((3, 32, 32, 3), np.float32)
    inputs = script["observe"](tasks.inpainting(), 32, 3)
    known = np.ones((3, 32, 32, 1), np.float32)
    known[:, 8:24, 8:24] = 0
    np.testing.assert_array_equal(inputs["known"], known)
    np.testing.assert_array_equal(inputs["observed"], known * pictures)
    assert list(script["observe"](tasks.denoising(), 32, 2)) == ["observed"]
