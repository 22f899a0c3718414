"""The web demo without a browser: masks, observations, solutions, messages."""

import copy
import dataclasses
import pathlib
import types

import numpy as np
import PIL.Image
import pytest
from test_scripts import run_script

import tfgpr
from tfgpr import images
from tfgpr.demo import InProcess, Served, build, events, gradio, pictures
from tfgpr.demo.backends import Solutions
from tfgpr.errors import InputError
from tfgpr.serving import RestoreClient, export_savedmodel
from tfgpr.serving.local_server import LocalServer


class Message(Exception):  # noqa: N818
    """What Gradio shows."""

    def __init__(self, text, **_):
        super().__init__(text)


def fake_gradio():
    """What `Events` uses of Gradio."""
    warnings = []
    return types.SimpleNamespace(
        Error=Message,
        update=lambda **changes: changes,
        Warning=lambda text, **_: warnings.append(text),
        warnings=warnings,
    )


@pytest.fixture(scope="module")
def backend(tiny_prior):
    return InProcess(tiny_prior)


@pytest.fixture
def on_page(backend):
    return events.Events(fake_gradio(), backend)


@pytest.fixture
def face(tiny_prior, tmp_path):
    images.write_png(tmp_path / "face.png", tiny_prior.sample(1, seed=4).numpy()[0])
    return str(tmp_path / "face.png")


def painted(size=256, rows=slice(96, 160), columns=slice(64, 192), alpha=255):
    layer = np.zeros((size, size, 4), np.uint8)
    layer[rows, columns] = (255, 47, 160, alpha)
    return layer


def press(on_page, task, path, clean=True, layers=(), search=(4, 1, 1, 0), old=None):
    """The Restore button; its answer by name."""
    progress = []

    def say(*at, **_):
        progress.append(at)

    answer = on_page.restore(
        task,
        path,
        clean,
        1.0,
        {"layers": list(layers)},
        search,
        lambda *at, **_: progress.append(at),
        old,
    )
    names = ("status", "observed", "gallery", "found", "generated", "restored", "download")
    return types.SimpleNamespace(**dict(zip(names, answer)), progress=progress)


def test_what_is_painted_is_unknown_pixel_by_pixel(rng):
    strokes = rng.random((64, 64)) < 0.01
    layers = [painted(64, alpha=0), painted(64, alpha=0)]
    layers[0][strokes] = 255
    layers[1][0, 0] = 255
    strokes[0, 0] = True
    known = pictures.known_from(layers, 16)
    expected = ~strokes.reshape(16, 4, 16, 4).any(axis=(1, 3))
    np.testing.assert_array_equal(known, 255 * expected)
    assert pictures.known_from([], 16).all()
    assert pictures.known_from([painted(alpha=20)], 16).all(), "a breath of color is no stroke"


def test_only_the_hole_changes(on_page, face):
    answer = press(on_page, "inpainting", face, layers=[painted()], search=(4, 2, 3, 0))
    given, hole = images.read_image(face), np.zeros((32, 32), bool)
    hole[12:20, 8:24] = True
    for index in range(3):
        *_, download = on_page.choose(answer.found, index)
        restored = images.read_image(download["value"])
        np.testing.assert_array_equal(restored[~hole], given[~hole])
        assert (restored[hole] != given[hole]).any()
        np.testing.assert_array_equal(restored, answer.found["images"][index])
    assert download["value"].endswith("/face_inpainting.png")
    assert len(answer.gallery["value"]) == 3
    assert not np.array_equal(*answer.found["images"][:2])
    assert answer.progress[-1] == ((4, 4),)
    assert "PSNR" in answer.status
    assert answer.observed.shape == answer.restored.shape == (384, 384, 3)
    assert answer.observed[192, 192].max() < 30, "the hole is black"


def test_a_visitor_leaves_the_files_of_the_last_restoration_only(on_page, face):
    def files():
        return [path for path in pathlib.Path(on_page.folder).rglob("*") if path.is_file()]

    first = press(on_page, "denoising", face, search=(4, 1, 3, 0))
    other = press(on_page, "denoising", face)  # another visitor
    second = press(on_page, "colorization", face, search=(4, 1, 2, 0), old=first.found)
    for index in (0, 1, 0, 1):
        *_, download = on_page.choose(second.found, index)
        restored = images.read_image(download["value"])
        np.testing.assert_array_equal(restored, second.found["images"][index])
    assert sorted(path.name for path in files()) == ["face_colorization.png"] * 2 + [
        "face_denoising.png"
    ]
    assert pathlib.Path(other.download["value"]).is_file()
    with pytest.raises(Message):
        press(on_page, "denoising", None, old=second.found)
    assert pathlib.Path(download["value"]).is_file(), "what is shown can still be chosen"
    for found in (None, other.found, second.found):  # Gradio, when a visitor has gone
        events.forget(found)
    assert not files()


@pytest.mark.parametrize(("prior", "steps"), [("tiny_prior", 80), ("complete_prior", 10)])
def test_the_page_starts_with_the_steps_that_its_prior_needs(prior, steps, request):
    pytest.importorskip("gradio", reason="pip install 'tfgpr[demo]'")
    page = build(InProcess(request.getfixturevalue(prior)))
    named = {getattr(block, "elem_id", None): block for block in page.blocks.values()}
    assert named["iterations"].value == steps
    (state,) = [block for block in page.blocks.values() if type(block).__name__ == "State"]
    assert state.delete_callback is events.forget


def test_solutions_are_the_samples_of_a_restorer_by_their_loss(backend, tiny_prior):
    task = tfgpr.tasks.super_resolution()
    observed = task.corruption(tiny_prior.sample(1, seed=4)).numpy()
    found = backend.restore(task.name, observed, lambda *_: None, 5, 2, solutions=3, seed=7)
    method = dataclasses.replace(task.default.with_iterations(5), starts=2)
    expected = tfgpr.Restorer(tiny_prior, task, method, 7).restore(observed, num_samples=3)
    assert found.loss.tolist() == sorted(found.loss)
    np.testing.assert_allclose(found.loss[0], expected.loss[0], rtol=1e-4)
    np.testing.assert_allclose(found.images[0], expected.images[0], atol=1e-4)
    differences = np.abs(found.images[:, None] - expected.samples[0][None]).max(axis=(2, 3, 4))
    assert sorted(differences.argmin(axis=1)) == [0, 1, 2]
    assert differences.min(axis=1).max() < 1e-4


def test_another_request_traces_nothing_anew(tiny_prior):
    backend = InProcess(tiny_prior)
    task = tfgpr.tasks.inpainting()
    for seed, hole, solutions in ((0, 8, 1), (0, 12, 3), (1, 8, 2), (1, 8, 1)):
        known = tfgpr.tasks.center_hole(32, hole)
        observed = task.corruption(tiny_prior.sample(1, seed=hole), known=known).numpy()
        backend.restore(
            task.name, observed, lambda *_: None, 3, 2, solutions=solutions, seed=seed, known=known
        )
        restorer = backend._restorer(task.name, 3, 2)
        traces = [restorer._advance, restorer._finish]
        assert [each.experimental_get_tracing_count() for each in traces] == [1, 1]
    kept = backend._restorer.cache_info()
    press(events.Events(fake_gradio(), backend), "denoising", str(pictures.EXAMPLE))
    assert kept.currsize < backend._restorer.cache_info().currsize <= kept.maxsize


@pytest.mark.parametrize("task", tfgpr.tasks.TASKS)
def test_a_clean_face_is_degraded_and_restored(task, on_page, face):
    layers = [painted()] if task == "inpainting" else []
    answer = press(on_page, task, face, layers=layers)
    assert answer.gallery["visible"] is False
    posed = tfgpr.tasks.TASKS[task]()
    clean = images.as_images(images.read_image(face))
    if task != "inpainting":
        observed = posed.corruption(clean).numpy()[0]
        np.testing.assert_array_equal(answer.observed, pictures.enlarge(observed, 384))
    assert images.read_image(answer.download["value"]).shape == (32, 32, 3)


def test_an_observation_is_taken_as_it_is(on_page, backend, face, tmp_path):
    small = images.crop_and_resize(images.read_image(face), 8, 1.0)
    images.write_png(tmp_path / "small.png", small)
    answer = press(on_page, "super_resolution", str(tmp_path / "small.png"), clean=False)
    np.testing.assert_array_equal(answer.observed, pictures.enlarge(small, 384))
    assert "PSNR" not in answer.status, "nobody knows the original"
    shown = pictures.view(backend, "super_resolution", tmp_path / "small.png", False, 1.0)
    np.testing.assert_array_equal(images.to_uint8(shown), small)


def test_mistakes_are_messages_without_folders(on_page, face, tmp_path):
    (tmp_path / "<b>notes.png").write_text("no image")
    text = str(tmp_path / "<b>notes.png")
    everything = painted(rows=slice(None), columns=slice(None))
    for arguments, message in (
        (("denoising", text), "readable image. Received: &lt;b&gt;notes.png"),
        (("denoising", None), "upload a picture"),
        (("inpainting", face), "nothing painted"),
        (("inpainting", face, True, [everything]), "knows none"),
        (("super_resolution", face, False), "8x8 pixels. Received: 32x32"),
        (("dequantization", face, False), "choose &quot;clean&quot;"),
        (("denoising", face, True, [], (4, 1, 0, 0)), "solutions"),
        (("denoising", face, True, [], (0, 1, 1, 0)), "iterations"),
        (("denoising", face, True, [], (4, 0, 1, 0)), "starts"),
    ):
        with pytest.raises(Message, match=message) as caught:
            press(on_page, *arguments)
        assert str(tmp_path) not in str(caught.value)


def test_an_upload_is_shown_as_it_will_be_used(on_page, tmp_path, rng):
    photo = rng.integers(0, 256, (60, 40, 3), np.uint8)
    images.write_png(tmp_path / "photo.png", photo)
    note, editor, view = on_page.new_face("inpainting", str(tmp_path / "photo.png"), True, 0.5)
    assert note == "40x60 pixels; the central 20x20 at 32x32."
    cut = images.crop_and_resize(photo, 32, 0.5)
    np.testing.assert_array_equal(editor["value"], pictures.enlarge(cut, 384))
    assert (editor["visible"], view["visible"]) == (True, False)
    _, editor, view = on_page.new_task("denoising", str(tmp_path / "photo.png"), True, 0.5)
    assert "value" not in editor, "what was painted stays"
    assert (editor["visible"], view["visible"]) == (False, True)


def test_an_unusable_upload_is_a_warning_and_nothing_is_shown(on_page, tmp_path):
    (tmp_path / "face.png").write_text("no image")
    note, editor, view = on_page.new_face("inpainting", str(tmp_path / "face.png"), True, 0.6)
    assert (note, editor["value"], view["value"]) == ("", None, None)
    assert "readable image. Received: face.png" in on_page.gr.warnings[0]
    on_page.new_face("inpainting", None, True, 0.6)
    assert len(on_page.gr.warnings) == 1, "no upload is no mistake"


def test_the_crop_of_the_prior_is_exact(tiny_prior, tmp_path, rng):
    images.write_png(tmp_path / "photo.png", rng.integers(0, 256, (218, 178, 3), np.uint8))
    on_page = events.Events(fake_gradio(), InProcess(tiny_prior))
    _, editor, _ = on_page.new_face("inpainting", str(tmp_path / "photo.png"), True, 0.61)
    cut = images.crop_and_resize(images.read_image(tmp_path / "photo.png"), 32, images.FACE_CROP)
    np.testing.assert_array_equal(editor["value"], pictures.enlarge(cut, 384))


def test_pictures_are_enlarged_whatever_they_are(rng):
    gray = rng.random((8, 8, 1), np.float32) * 1.5 - 0.25
    clipped = np.round(np.clip(gray, 0, 1)[..., 0] * 255).astype(np.uint8)
    rgb = PIL.Image.fromarray(clipped).convert("RGB").resize((24, 24), PIL.Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(pictures.enlarge(gray, 24), np.asarray(rgb))
    as_bytes = np.repeat(clipped[..., None], 3, axis=2)
    np.testing.assert_array_equal(pictures.enlarge(as_bytes, 24), np.asarray(rgb))


def test_a_server_gives_what_its_client_gives(tiny_prior, face, tmp_path):
    task = tfgpr.tasks.inpainting()
    base = tmp_path / "served"
    prior = copy.copy(tiny_prior)
    prior.crop = 0.4
    export_savedmodel(prior, base, iterations=3, default_task=task.name, tasks=[task])
    quiet = {"warm_up": False, "poll_seconds": 0, "log": lambda line: None}
    with (
        LocalServer(base, **quiet) as server,
        RestoreClient(f"localhost:{server.port}") as client,
    ):
        served = Served(client)
        assert served.tasks == ("inpainting",)
        assert served.face_crop == 0.4
        page = events.Events(fake_gradio(), served)
        answer = press(page, "inpainting", face, layers=[painted()])
        known = pictures.known_from([painted()], 32)[None, ..., None] / np.float32(255)
        observed = images.as_images(images.read_image(face)) * known
        alone = client.restore("inpainting", observed, known=known)
        with pytest.raises(InputError, match="Expected a task"):
            served.restore("denoising", observed, lambda *_: None)
    np.testing.assert_array_equal(
        images.read_image(answer.download["value"]), images.to_uint8(alone.images[0])
    )


def test_a_server_without_our_tasks_is_refused():
    client = types.SimpleNamespace(signatures=lambda: {"predict": None}, target="host:1")
    with pytest.raises(InputError, match=r"predict at host:1"):
        Served(client)


def test_solutions_are_sorted_by_loss():
    result = tfgpr.Restoration(
        latent=None,
        loss=np.array([3.0, 1.0, 2.0]),
        images=np.arange(3.0)[:, None, None, None],
        generated=np.arange(3.0)[:, None, None, None],
        observed=np.zeros([3, 2, 2, 1]),
    )
    found = Solutions.of(result)
    assert found.images.ravel().tolist() == found.generated.ravel().tolist() == [1, 2, 0]
    assert found.loss.tolist() == [1, 2, 3]
    assert found.observed.shape == (1, 2, 2, 1)


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gradio", None)
    with pytest.raises(InputError, match=r"pip install 'tfgpr\[demo\]'"):
        gradio()


def test_a_wrong_command_is_one_line_and_exit_code_2(capsys, monkeypatch):
    monkeypatch.setattr("tfgpr.demo.gradio", lambda: None)
    for flags, message in (
        (["--model_dir=/nowhere"], "Expected a prior"),
        (["--target=nowhere"], "HOST:PORT"),
        (["--target=localhost:1", "--model_dir=/nowhere"], "leave one out"),
        (["--port=99999999"], "port"),
    ):
        assert run_script("scripts/demo_app.py", *flags) == 2
        assert message in capsys.readouterr().err.strip().splitlines()[-1]
