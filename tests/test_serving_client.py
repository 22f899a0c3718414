"""The client and the development server: batches, failures, new versions, health."""

import errno
import os
import pathlib
import subprocess
import sys
import threading
import types

import numpy as np
import pytest
import tensorflow as tf
from test_scripts import run_script

import tfgpr
from tfgpr import images
from tfgpr.errors import InputError
from tfgpr.serving import RestoreClient, apis, loaded
from tfgpr.serving.local_server import LocalServer

ROOT = pathlib.Path(__file__).parent.parent


def run(script, *flags):
    return subprocess.run(
        [sys.executable, ROOT / "export" / script, *flags],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.fixture(scope="module")
def base(tiny_prior, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    tiny_prior.save(folder / "prior")
    finished = run(
        "export_savedmodel.py",
        f"--output={folder / 'tfgpr'}",
        f"--model_dir={folder / 'prior'}",
        "--default_task=super_resolution",
        "--iterations=2",
    )
    assert finished.returncode == 0, finished.stderr
    assert str(folder / "tfgpr" / "1") in finished.stdout
    return folder / "tfgpr"


def quiet(base, **settings):
    return LocalServer(base, **{"warm_up": False, "log": lambda line: None, **settings})


@pytest.fixture(scope="module")
def server(base):
    with quiet(base, poll_seconds=0) as server:
        yield server


@pytest.fixture
def client(server):
    with RestoreClient(f"localhost:{server.port}") as client:
        yield client


def small(count, seed=0):
    return np.random.default_rng(seed).random((count, 8, 8, 3), np.float32)


def predict(server, seconds=60, model="tfgpr", signature="", inputs=None, **settings):
    """A bare Predict, without the client."""
    needed = apis.load("grpc", "predict", "prediction_service")
    request = needed.predict.PredictRequest(**settings)
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    for name, value in (inputs or {"observed": small(1)}).items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    with needed.grpc.insecure_channel(f"localhost:{server.port}") as channel:
        stub = needed.prediction_service.PredictionServiceStub(channel)
        return stub.Predict(request, timeout=seconds)


def code_of(function, *args, **kwargs):
    with pytest.raises(apis.load("grpc").grpc.RpcError) as caught:
        function(*args, **kwargs)
    return caught.value.code().name


@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_large_batch_is_split_and_put_together_in_order(server, concurrency):
    observed = small(11)
    done = []
    target = f"localhost:{server.port}"
    with RestoreClient(target, batch_size=3, concurrency=concurrency) as client:
        result = client.restore(
            "super_resolution", observed, progress=lambda *counts: done.append(counts)
        )
    assert done[-1] == (11, 11)
    assert len(done) == 4
    with RestoreClient(target, batch_size=16) as client:
        whole = client.restore("super_resolution", observed)
    np.testing.assert_array_equal(result.observed, observed)
    np.testing.assert_allclose(result.images, whole.images, atol=1e-4)
    np.testing.assert_allclose(result.loss, whole.loss, rtol=1e-4)


def test_a_batch_above_the_message_limit_is_split(client, monkeypatch):
    sizes = []
    call = client._predictions.Predict
    monkeypatch.setattr(
        client._predictions, "Predict", lambda r, timeout: sizes.append(r.ByteSize()) or call(r)
    )
    monkeypatch.setattr("tfgpr.serving.client._MESSAGE_LIMIT", 100_000)  # of the answers, too
    client.restore("super_resolution", small(9))
    assert len(sizes) == 3  # 4 x (2 x 32 x 32 x 3 + 6 + 1) bytes for each image


def test_uint8_and_one_mask_for_all_are_taken(client):
    observed = np.full([3, 32, 32, 3], 128, np.uint8)
    result = client.restore("inpainting", observed, known=tfgpr.tasks.center_hole(32))
    assert result.images.shape == (3, 32, 32, 3)
    assert result.images[0, 0, 0, 0] == np.float32(128 / 255)
    assert result.plot().size[0] > 32


@pytest.mark.parametrize(
    ("settings", "task", "message"),
    [
        ({}, "colourisation", "super_resolution"),
        ({"model": "other"}, "super_resolution", "'other'"),
        ({"version": 7}, "super_resolution", "version 7"),
    ],
)
def test_what_is_not_served_is_one_clear_error(server, settings, task, message):
    with (
        RestoreClient(f"localhost:{server.port}", **settings) as client,
        pytest.raises(InputError, match=message),
    ):
        client.restore(task, small(1))


@pytest.fixture
def busy(server, monkeypatch):
    """The server, which answers no restoration before the test has ended."""
    free = threading.Event()
    predict = loaded.LoadedVersion.predict

    def blocked(self, request, seconds=None):
        free.wait()
        return predict(self, request)

    monkeypatch.setattr(loaded.LoadedVersion, "predict", blocked)
    yield server
    free.set()


def test_an_expired_deadline_is_one_clear_error(busy):
    with (
        RestoreClient(f"localhost:{busy.port}", deadline=0.5) as client,
        pytest.raises(InputError, match=r"within 0\.5 s"),
    ):
        client.restore("super_resolution", small(1))


def test_a_bare_request_fails_at_its_deadline(busy):
    assert code_of(predict, busy, seconds=0.5) == "DEADLINE_EXCEEDED"


def test_the_run_itself_is_given_the_time_that_is_left():
    ran = []
    version = object.__new__(loaded.LoadedVersion)
    version._session = types.SimpleNamespace(run=lambda *_, options: ran.append(options))
    with pytest.raises(loaded.RequestError) as caught:
        version._run({}, {}, 0.0)
    assert caught.value.code == "DEADLINE_EXCEEDED"
    for seconds in (1.5, None):
        version._run({}, {}, seconds)
    assert ran[0].timeout_in_ms == 1500
    assert ran[1] is None


def test_wrong_inputs_are_named(client):
    with pytest.raises(InputError, match="shape"):
        client.restore("super_resolution", np.zeros([1, 32, 32, 3], np.float32))
    with pytest.raises(InputError, match="known"):
        client.restore("inpainting", np.zeros([1, 32, 32, 3], np.float32))
    with pytest.raises(InputError, match=r"Expected observed from -0.25 to 1.25. .* 100"):
        client.restore("super_resolution", np.full([1, 8, 8, 3], 100.0, np.float32))


@pytest.mark.parametrize("target", ["localhost", "http://localhost:8500", "localhost:port"])
def test_a_malformed_address_is_refused(target):
    with pytest.raises(InputError, match="HOST:PORT"):
        RestoreClient(target)


@pytest.mark.parametrize("version", [0, 2**63])
def test_a_version_that_is_none_is_refused(version):
    with pytest.raises(InputError, match="version from 1"):
        RestoreClient("localhost:1", version=version)


@pytest.mark.parametrize(
    ("script", "flag"),
    [
        (script, flag)
        for script in ("restore_client.py", "export_savedmodel.py")
        for flag in (f"--version={10**20 - 1}", "--version=0", f"--seed={2**31}")
    ],
)
def test_numbers_that_are_too_large_are_one_line(script, flag, tmp_path, capsys):
    needed = ["--target=localhost:1", "--task=denoising", f"--input={tmp_path}"]
    needed = needed if script == "restore_client.py" else []
    arguments = [*needed, f"--output={tmp_path / 'out'}", flag]
    assert run_script(f"export/{script}", *arguments) == 2
    said = capsys.readouterr().err
    assert flag.strip("-").partition("=")[0] in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_output_that_cannot_be_is_found_out_before_anything_is_restored(
    server, tmp_path, monkeypatch, capsys, rng
):
    images.write_png(tmp_path / "face.png", rng.integers(0, 256, (32, 32, 3), np.uint8))
    flags = [f"--target=localhost:{server.port}", "--task=denoising", "--corrupt"]
    flags += [f"--input={tmp_path / 'face.png'}"]

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "denied")

    monkeypatch.setattr(RestoreClient, "restore", lambda *_, **__: pytest.fail("it restored"))
    below = f"--output={tmp_path / 'face.png' / 'x'}"
    assert run_script("export/restore_client.py", *flags, below) == 2
    assert "is a file" in capsys.readouterr().err
    assert run_script("export/export_savedmodel.py", below) == 2
    assert "is a file" in capsys.readouterr().err
    monkeypatch.setattr("tfgpr.files.tempfile.mkdtemp", refuse)
    assert run_script("export/restore_client.py", *flags, f"--output={tmp_path / 'out'}") == 2
    assert "Cannot read or write" in capsys.readouterr().err


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_serving.apis.predict_pb2", None)
    with pytest.raises(InputError, match=r"tfgpr\[serving\]"):
        RestoreClient("localhost:1")


def test_unavailable_is_retried_with_growing_waits_and_nothing_else(server, monkeypatch):
    waits, failures = [], []
    monkeypatch.setattr("tfgpr.serving.client.time.sleep", waits.append)
    grpc = apis.load("grpc").grpc

    class Failure(grpc.RpcError):
        def code(self):
            return getattr(grpc.StatusCode, failures[-1])

        def details(self):
            return "told to"

    with RestoreClient(f"localhost:{server.port}", retries=3) as client:
        client.signatures()
        real = client._predictions.Predict

        def flaky(request, timeout):
            if failures and len(attempts) < attempts_to_fail:
                attempts.append(timeout)
                raise Failure
            return real(request, timeout=timeout)

        monkeypatch.setattr(client._predictions, "Predict", flaky)
        attempts, attempts_to_fail = [], 3
        failures.append("UNAVAILABLE")
        assert client.restore("super_resolution", small(1)).loss.shape == (1,)
        assert len(waits) == 3
        assert waits[2] > waits[0]
        assert attempts[2] < attempts[0]  # retries share one deadline
        attempts, attempts_to_fail = [], 4
        with pytest.raises(InputError, match="no answer"):
            client.restore("super_resolution", small(1))
        waits.clear()
        attempts, failures[-1] = [], "RESOURCE_EXHAUSTED"
        with pytest.raises(InputError, match="full"):
            client.restore("super_resolution", small(1))
        attempts, failures[-1] = [], "INTERNAL"
        with pytest.raises(Failure):
            client.restore("super_resolution", small(1))
        assert not waits


def test_no_server_is_one_clear_error():
    with (
        RestoreClient("localhost:1", retries=1) as client,
        pytest.raises(InputError, match="localhost:1"),
    ):
        client.status()


def test_signature_default_output_filter_and_version_in_the_answer(server):
    answer = predict(server, output_filter=["loss"])
    assert list(answer.outputs) == ["loss"]
    assert answer.model_spec.signature_name == "serving_default"
    assert answer.model_spec.version.value == 1
    assert code_of(predict, server, output_filter=["losses"]) == "INVALID_ARGUMENT"
    assert code_of(predict, server, output_filter=["loss", "loss"]) == "INVALID_ARGUMENT"


def test_bare_requests_fail_as_with_tf_serving(server):
    assert code_of(predict, server, signature="other") == "FAILED_PRECONDITION"
    assert code_of(predict, server, model="other") == "NOT_FOUND"
    assert code_of(predict, server, inputs={"image": small(1)}) == "INVALID_ARGUMENT"
    half = small(1).astype(np.float16)
    assert code_of(predict, server, inputs={"observed": half}) == "INVALID_ARGUMENT"


def test_a_left_out_input_takes_the_default_of_the_signature(base):
    version = loaded.LoadedVersion(base / "1", 1, warm_up=False)
    request = apis.load("predict").predict.PredictRequest()

    class WithDefaults:
        inputs = version.signatures["serving_default"].inputs
        outputs = version.signatures["serving_default"].outputs
        defaults = {"observed": tf.make_tensor_proto(small(2))}  # noqa: RUF012

    version.signatures["serving_default"] = WithDefaults
    assert tf.make_ndarray(version.predict(request).outputs["loss"]).shape == (2,)


def test_health(server):
    needed = apis.load("grpc", "health_messages", "health_service")
    with needed.grpc.insecure_channel(f"localhost:{server.port}") as channel:
        stub = needed.health_service.HealthStub(channel)
        for service in ("", "tensorflow.serving.PredictionService"):
            request = needed.health_messages.HealthCheckRequest(service=service)
            assert stub.Check(request, timeout=10).status == 1  # SERVING


def test_the_command_restores_a_folder(server, tmp_path, rng):
    for name in ("one", "two"):
        pixels = rng.integers(0, 256, (32, 32, 3), np.uint8)
        images.write_png(tmp_path / "in" / f"{name}.png", pixels)
    flags = [
        f"--target=localhost:{server.port}",
        "--task=super_resolution",
        f"--input={tmp_path / 'in'}",
        f"--output={tmp_path / 'out'}",
        "--corrupt",
    ]
    finished = run("restore_client.py", *flags)
    assert finished.returncode == 0, finished.stderr
    assert {file.name for file in (tmp_path / "out").iterdir()} >= {"one.png", "two.png"}
    assert images.read_image(tmp_path / "out" / "one.png").shape == (32, 32, 3)
