"""The export: four ways of running it against the Python API, its checks, what is in it."""

import concurrent.futures
import dataclasses
import importlib.util
import io
import json
import pathlib
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

import tfgpr
from tfgpr.errors import InputError
from tfgpr.serving import RestoreClient, apis, export_savedmodel
from tfgpr.serving.local_server import LocalServer
from tfgpr.tasks import TASKS

OUTPUTS = ("restored", "generated", "latent", "loss")


def named(make, iterations, name=None):
    """A task whose default has so many iterations, perhaps under another name."""
    task = make()
    method = task.default.with_iterations(iterations)
    return dataclasses.replace(task, default=method, name=name or task.name)


SERVED = [named(make, 10) for make in TASKS.values()] + [named(tfgpr.tasks.inpainting, 1, "once")]


@pytest.fixture(scope="module")
def base(complete_prior, tmp_path_factory):
    base = tmp_path_factory.mktemp("served") / "tfgpr"
    export_savedmodel(complete_prior, base, default_task="denoising", tasks=SERVED)
    return base


@pytest.fixture(scope="module")
def path(base):
    return base / "1"


@pytest.fixture(scope="module")
def server(base):
    with LocalServer(base, warm_up=False, poll_seconds=0, log=lambda line: None) as server:
        yield server


@pytest.fixture
def client(server):
    with RestoreClient(f"localhost:{server.port}") as client:
        yield client


def observe(task, count, seed=0):
    """Observations of random images, and their conditions; NumPy arrays."""
    images = np.random.default_rng(seed).random((count, 32, 32, 3), np.float32)
    observed, conditions = task.observe(images, seed)
    return {"observed": observed, **conditions}


def in_python(prior, task, inputs):
    result = tfgpr.Restorer(prior, task).restore(**inputs)
    return {"restored": result.images} | {name: getattr(result, name) for name in OUTPUTS[1:]}


def by_loading(path, requests):
    signatures = tf.saved_model.load(str(path)).signatures
    for name, inputs in requests:
        found = signatures[name](**{key: tf.constant(value) for key, value in inputs.items()})
        yield {key: value.numpy() for key, value in found.items()}


def by_session(path, requests):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], str(path))
        for name, inputs in requests:
            signature = loaded.signature_def[name]
            feeds = {signature.inputs[key].name: value for key, value in inputs.items()}
            yield session.run({key: out.name for key, out in signature.outputs.items()}, feeds)


def by_c_api(path, requests):
    signatures = signature_defs(path)
    package = pathlib.Path(importlib.util.find_spec("tensorflow").submodule_search_locations[0])
    libraries = [f"libtensorflow_{part}.so.2" for part in ("framework", "cc")]
    scratch = path.parent.parent
    runs = []
    for name, inputs in requests:
        files = {}
        for key, value in inputs.items():
            file = scratch / f"{len(runs)}-{key}.npy"
            np.save(file, value)
            files[signatures[name].inputs[key].name] = str(file)
        outputs = {key: out.name for key, out in signatures[name].outputs.items()}
        runs.append({"inputs": files, "outputs": outputs})
    asked = {"libraries": [str(package / each) for each in libraries], "export": str(path)}
    (scratch / "asked.json").write_text(json.dumps({**asked, "runs": runs}))
    script = pathlib.Path(__file__).with_name("c_api.py")
    results = scratch / "results.npz"
    subprocess.run([sys.executable, script, scratch / "asked.json", results], check=True)
    with np.load(results) as found:
        arrays = dict(found)
    for index in range(len(runs)):
        start = f"{index}/"
        yield {key[len(start) :]: arrays[key] for key in arrays if key.startswith(start)}


def by_grpc(path, requests):
    with (
        LocalServer(path.parent, warm_up=False, poll_seconds=0, log=lambda line: None) as server,
        RestoreClient(f"localhost:{server.port}") as client,
    ):
        yield from through(client, requests)


def through(client, requests):
    for name, inputs in requests:
        result = client.restore(name, **inputs)
        yield {"restored": result.images} | {key: getattr(result, key) for key in OUTPUTS[1:]}


WAYS = {way.__name__: way for way in (by_loading, by_session, by_c_api, by_grpc)}


def signature_defs(path):
    return dict(meta_graph(path).signature_def)


def meta_graph(path):
    content = (path / "saved_model.pb").read_bytes()
    return saved_model_pb2.SavedModel.FromString(content).meta_graphs[0]


def assert_same(found, expected):
    assert set(found) == set(expected)
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], 1e-4, 1e-4, err_msg=name)


@pytest.fixture(scope="module")
def expected(complete_prior):
    """Observations of each task, and what Python makes of them."""
    inputs = [observe(task, 3) for task in SERVED]
    return inputs, [in_python(complete_prior, *pair) for pair in zip(SERVED, inputs)]


@pytest.fixture(scope="module")
def c_api_answers(path, expected):
    """What the C API answers: to good input, then to each of WRONG_SHAPES."""
    requests = [(task.name, inputs) for task, inputs in zip(SERVED, expected[0])]
    requests += [("inpainting", BAD[why]) for why in WRONG_SHAPES]
    return list(by_c_api(path, requests))


@pytest.mark.parametrize("way", ["by_loading", "by_session", "by_c_api", "by_grpc"])
def test_every_task_and_length_runs_as_in_python(way, path, expected, request):
    requests = [(task.name, inputs) for task, inputs in zip(SERVED, expected[0])]
    if way == "by_c_api":
        answers = request.getfixturevalue("c_api_answers")[: len(SERVED)]
    elif way == "by_grpc":
        answers = through(request.getfixturevalue("client"), requests)
    else:
        answers = WAYS[way](path, requests)
    for found, answer in zip(answers, expected[1], strict=True):
        assert_same(found, answer)


def test_a_session_tells_the_crop_of_the_prior(path, complete_prior):
    widths = np.array([1.0, 178.0])
    (found,) = by_session(path, [("prior_crop", {"width": widths})])
    np.testing.assert_array_equal(found["side"], complete_prior.crop * widths)


def test_batch_mates_and_position_do_not_matter(client):
    task = tfgpr.tasks.inpainting()
    inputs = observe(task, 16)
    whole = client.restore("inpainting", **inputs)
    for rows in (slice(5, 6), slice(2, 5)):
        part = client.restore("inpainting", **{key: inputs[key][rows] for key in inputs})
        for name in ("images", "generated", "latent", "loss"):
            np.testing.assert_allclose(
                getattr(part, name), getattr(whole, name)[rows], 1e-4, 1e-4, err_msg=name
            )


def test_concurrent_requests_equal_serial_ones_exactly(client):
    tasks = SERVED[:5]
    distinct = [
        (task.name, observe(task, 1 + seed % 2, seed)) for task in tasks for seed in range(8)
    ]
    serial = [client.restore(name, **inputs) for name, inputs in distinct]
    order = np.random.default_rng(0).permutation(np.repeat(np.arange(len(distinct)), 2))
    assert len(order) == 80

    def ask(index):
        name, inputs = distinct[index]
        return client.restore(name, **inputs)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for index, found in zip(order, pool.map(ask, order)):
            for name in ("images", "generated", "latent", "loss"):
                np.testing.assert_array_equal(getattr(found, name), getattr(serial[index], name))


def test_what_rounding_adds_is_clipped_as_in_python(path, complete_prior):
    """The client clips before it sends; a bare request does not."""
    task = tfgpr.tasks.inpainting()
    inputs = observe(task, 1)
    inputs["observed"][0, 0, :4, 0] = 1.000005, 1.0000001, -0.000005, 1.0
    inputs["known"][0, 0, :2, 0] = 1.000005, 1.0000001
    clipped = {key: np.clip(value, 0, 1) for key, value in inputs.items()}
    found, exact = by_loading(path, [(task.name, inputs), (task.name, clipped)])
    assert_same(found, in_python(complete_prior, task, inputs))
    np.testing.assert_array_equal(found["restored"], exact["restored"])


def as_png(image):
    file = io.BytesIO()
    pixels = np.round(image * 255).astype(np.uint8)
    PIL.Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("name", ["inpainting", "colorization"])
def test_png_in_and_out(client, name):
    inputs = observe(TASKS[name](), 3)
    inputs["observed"] = np.round(inputs["observed"] * 255).astype(np.float32) / 255
    expected = client.restore(name, **inputs)
    found = client.restore_png(name, **{key: map(as_png, inputs[key]) for key in inputs})
    np.testing.assert_allclose(found["loss"], expected.loss, 1e-4)
    for key, images in (("restored", expected.images), ("generated", expected.generated)):
        pixels = np.stack([PIL.Image.open(io.BytesIO(file)) for file in found[f"{key}_bytes"]])
        assert np.abs(pixels - images * 255).max() <= 0.5 + 1e-2


def changed(inputs, **changes):
    inputs = {name: array.copy() for name, array in inputs.items()}
    for name, change in changes.items():
        inputs[name] = change(inputs[name])
    return inputs


GOOD = observe(tfgpr.tasks.inpainting(), 2)
BAD = {
    "too large": changed(GOOD, observed=lambda y: y * 255),
    "negative": changed(GOOD, observed=lambda y: y - 0.5),
    "one NaN": changed(
        GOOD, observed=lambda y: np.where(np.arange(y.size).reshape(y.shape), y, np.nan)
    ),
    "infinite": changed(GOOD, observed=lambda y: np.where(y > 0.5, np.inf, y)),
    "wrong size": changed(GOOD, observed=lambda y: y[:, :16]),
    "one pixel, which would broadcast": changed(GOOD, observed=lambda y: y[:, :1, :1]),
    "no image": changed(GOOD, observed=lambda y: y[:0], known=lambda known: known[:0]),
    "barely too large": changed(GOOD, observed=lambda y: np.maximum(y, 1.00002)),
    "a gray mask": changed(GOOD, known=lambda known: known * 0.5),
    "a mask of two": changed(GOOD, known=lambda known: 2 * known),
    "a NaN mask": changed(GOOD, known=lambda known: known * np.nan),
    "one empty mask": changed(GOOD, known=lambda known: known * [[[[0]]], [[[1]]]]),
    "one full mask": changed(GOOD, known=lambda known: np.maximum(known, [[[[0]]], [[[1]]]])),
    "too few masks": changed(GOOD, known=lambda known: known[:1]),
    "three-channel mask": changed(GOOD, known=lambda known: np.repeat(known, 3, axis=3)),
}
WRONG_SHAPES = ["wrong size", "one pixel, which would broadcast"]


def refused(server, signature, inputs, **settings):
    """The code and text with which a server refuses a bare PredictRequest."""
    needed = apis.load("grpc", "predict", "prediction_service")
    request = needed.predict.PredictRequest(**settings)
    request.model_spec.name = "tfgpr"
    request.model_spec.signature_name = signature
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    with needed.grpc.insecure_channel(f"localhost:{server.port}") as channel:
        stub = needed.prediction_service.PredictionServiceStub(channel)
        with pytest.raises(needed.grpc.RpcError) as caught:
            stub.Predict(request, timeout=60)
    return caught.value.code().name, caught.value.details()


@pytest.mark.parametrize("why", BAD)
def test_bad_input_is_refused_by_name(server, why):
    inputs = {name: array.astype(np.float32) for name, array in BAD[why].items()}
    code, text = refused(server, "inpainting", inputs)
    assert code == "INVALID_ARGUMENT"
    culprit = "known" if "mask" in why else "observed"
    assert culprit in text


def test_the_graph_itself_refuses_wrong_shapes(c_api_answers):
    """A C++ Session, unlike Python's, compares no shape before it runs."""
    for answer in c_api_answers[len(SERVED) :]:
        text = str(answer["error"])
        assert text.startswith("3: ")  # INVALID_ARGUMENT
        assert "observed" in text
    assert len(c_api_answers) == len(SERVED) + len(WRONG_SHAPES)


@pytest.mark.parametrize(
    "file",
    [b"", b"no picture", as_png(np.zeros([31, 32, 3])), as_png(np.zeros([32, 32, 3]))[:-40]],
    ids=["empty", "other", "wrong size", "truncated"],
)
def test_bad_png_is_refused_by_name(server, file):
    good = as_png(np.zeros([32, 32, 3]))
    code, text = refused(server, "denoising_png", {"observed_bytes": [good, file]})
    assert code == "INVALID_ARGUMENT"
    assert "observed_bytes" in text


def test_every_input_and_output_has_the_batch_first(path):
    signatures = {name: each for name, each in signature_defs(path).items() if each.method_name}
    names = [task.name for task in SERVED]
    others = {"serving_default", "prior_crop", "task_settings"}
    assert set(signatures) == {*names, *(f"{name}_png" for name in names)} | others
    for signature in signatures.values():
        for side in (signature.inputs, signature.outputs):
            for info in side.values():
                first, *rest = (dim.size for dim in info.tensor_shape.dim)
                assert first == -1
                assert all(size > 0 for size in rest)


def test_weights_are_stored_once(path, complete_prior):
    networks = [getattr(complete_prior, each) for each in ("generator", "discriminator")]
    networks += [getattr(complete_prior, each).network for each in ("residual", "encoder")]
    size = sum(array.nbytes for network in networks for array in network.get_weights())
    stored = sum(file.stat().st_size for file in (path / "variables").iterdir())
    assert size < stored < size + 15_000  # names and shapes
    largest = max(
        tensor.ByteSize()
        for function in meta_graph(path).graph_def.library.function
        for node in function.node_def
        for tensor in [node.attr["value"].tensor]
    )
    assert largest < 10_000  # no weights among the constants


def test_the_graph_holds_no_state_and_no_xla(path):
    graph = meta_graph(path).graph_def
    for function in graph.library.function:
        if function.signature.name.startswith("__inference_restoration"):
            writes = {node.op for node in function.node_def if "Assign" in node.op}
            assert not writes
        assert not function.attr["_XlaMustCompile"].b
    variables = sum(node.op == "VarHandleOp" for node in graph.node)
    names = {node.attr["shared_name"].s for node in graph.node if node.op == "VarHandleOp"}
    assert len(names) == variables


def test_warm_up_requests_cover_every_signature_and_run(path):
    logs = apis.load("prediction_log").prediction_log.PredictionLog
    file = path / "assets.extra" / "tf_serving_warmup_requests"
    requests = [
        logs.FromString(record.numpy()).predict_log.request
        for record in tf.data.TFRecordDataset(str(file))
    ]
    names = [request.model_spec.signature_name for request in requests]
    signatures = {name: each for name, each in signature_defs(path).items() if each.method_name}
    assert sorted(names) == sorted(signatures)
    for request in requests:
        signature = signatures[request.model_spec.signature_name]
        assert set(request.inputs) == set(signature.inputs)
        for key, proto in request.inputs.items():
            shape = [dim.size for dim in signature.inputs[key].tensor_shape.dim]
            assert list(tf.make_ndarray(proto).shape) == [1, *shape[1:]]


def test_metadata_tells_what_was_exported(path, complete_prior):
    about = json.loads((path / "metadata.json").read_text())
    assert about["tfgpr"] == tfgpr.__version__
    assert about["tensorflow"] == tf.__version__
    assert about["prior"]["image_size"] == complete_prior.image_size
    assert about["default_task"] == "denoising"
    iterations = {name: each["iterations"] for name, each in about["tasks"].items()}
    assert iterations == dict.fromkeys(TASKS, 10) | {"once": 1}


def test_the_client_observes_for_tasks_of_the_paper_only(client):
    assert client.task("denoising").settings == {"noise_stddev": 0.1}
    with pytest.raises(InputError, match=r"Expected a task of inpainting, .* Received: 'once'"):
        client.task("once")
    with pytest.raises(InputError, match="serves"):
        client.task("sharpening")
