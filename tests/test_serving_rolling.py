"""A server's versions: they come, go and are warmed up while requests are under way."""

import concurrent.futures
import errno
import shutil
import threading
import time

import numpy as np
import pytest
import tensorflow as tf
from test_serving_client import quiet, small

import tfgpr
from tfgpr.errors import InputError
from tfgpr.serving import RestoreClient, export_savedmodel, loaded


def test_versions_roll_forward_and_back_without_a_failed_request(tiny_prior, tmp_path):
    served = tmp_path / "tfgpr"
    task = tfgpr.tasks.super_resolution()
    settings = {"default_task": task.name, "tasks": [task]}
    export_savedmodel(tiny_prior, served, iterations=2, **settings)
    expected = {}
    stop = threading.Event()

    def ask(client):
        answers = []
        while not stop.is_set():
            answers.append(client.restore("super_resolution", small(1)).images)
            time.sleep(0.01)
        return answers

    def state(client, version, name):
        end = time.monotonic() + 60
        while client.status().get(version) != name:
            assert time.monotonic() < end, client.status()
            time.sleep(0.02)

    with (
        quiet(served, poll_seconds=0.05) as server,
        RestoreClient(f"localhost:{server.port}", retries=0) as client,
        concurrent.futures.ThreadPoolExecutor(2) as pool,
    ):
        expected[1] = client.restore("super_resolution", small(1)).images
        running = [pool.submit(ask, client) for _ in range(2)]
        try:
            export_savedmodel(tiny_prior, served, iterations=5, **settings)
            state(client, 2, "AVAILABLE")
            state(client, 1, "END")
            expected[2] = client.restore("super_resolution", small(1)).images
            # A version that cannot be loaded changes nothing.
            (served / "3").mkdir()
            state(client, 3, "END")
            assert np.array_equal(client.restore("super_resolution", small(1)).images, expected[2])
            (served / "3").rmdir()
            shutil.rmtree(served / "2")
            state(client, 1, "AVAILABLE")
            state(client, 2, "END")
            back = client.restore("super_resolution", small(1)).images
        finally:
            stop.set()
        answers = [answer for each in running for answer in each.result()]
    assert np.array_equal(back, expected[1])
    assert not np.allclose(expected[1], expected[2], atol=1e-3)
    for answer in answers:
        assert any(np.array_equal(answer, each) for each in expected.values())
    assert {np.array_equal(answer, expected[1]) for answer in answers} == {True, False}


def test_a_folder_that_cannot_be_read_for_a_while_is_followed_again(
    tiny_prior, tmp_path, monkeypatch
):
    task = tfgpr.tasks.denoising()
    first = export_savedmodel(tiny_prior, tmp_path / "tfgpr", iterations=1, tasks=[task])
    shutil.copytree(first, tmp_path / "later")
    said = []

    def until(there):
        end = time.monotonic() + 60
        while not there():
            assert time.monotonic() < end, said
            time.sleep(0.02)

    def gone(base):
        raise FileNotFoundError(errno.ENOENT, "gone", str(base))

    with (
        quiet(tmp_path / "tfgpr", poll_seconds=0.02, log=said.append) as server,
        RestoreClient(f"localhost:{server.port}") as client,
    ):
        with monkeypatch.context() as patch:
            patch.setattr("tfgpr.serving.live.versions", gone)
            until(lambda: any("gone" in line for line in said))
            time.sleep(0.1)
        (tmp_path / "later").rename(tmp_path / "tfgpr" / "2")
        until(lambda: client.status().get(2) == "AVAILABLE")
    assert sum("gone" in line for line in said) == 1, "it is said once, not at every look"


def test_a_version_is_warmed_up_before_it_is_served(tiny_prior, tmp_path, monkeypatch):
    task = tfgpr.tasks.denoising()
    path = export_savedmodel(
        tiny_prior, tmp_path, iterations=1, default_task=task.name, tasks=[task]
    )
    ran = []
    predict = loaded.LoadedVersion.predict

    def watched(self, request, seconds=None):
        answer = predict(self, request, seconds)
        first, *_ = answer.outputs.values()
        ran.append((request.model_spec.signature_name, len(tf.make_ndarray(first))))
        return answer

    monkeypatch.setattr(loaded.LoadedVersion, "predict", watched)
    loaded.LoadedVersion(path, 1)
    named = ["denoising", "denoising_png", "serving_default", "prior_crop", "task_settings"]
    assert ran == [(name, 1) for name in named]


def test_a_folder_without_versions_is_refused(tmp_path):
    with pytest.raises(InputError, match="export_savedmodel"):
        quiet(tmp_path)
