"""The web demo in headless Chromium: upload, paint with the mouse, restore, download."""

import demo_visitor
import numpy as np
import pytest

import tfgpr
from tfgpr import demo, images
from tfgpr.serving import RestoreClient, export_savedmodel
from tfgpr.serving.local_server import LocalServer

pytest.importorskip("gradio", reason="pip install 'tfgpr[demo]'")
pytest.importorskip("playwright.sync_api", reason="pip install playwright")
if not demo_visitor.chromium():
    pytest.skip("no browser: apt-get install chromium", allow_module_level=True)


@pytest.fixture(scope="module")
def browser():
    with demo_visitor.browsing() as browser:
        yield browser


@pytest.fixture(scope="module")
def face(tiny_prior, tmp_path_factory):
    path = tmp_path_factory.mktemp("upload") / "somebody.png"
    images.write_png(path, tiny_prior.sample(1, seed=4).numpy()[0])
    return path


class Spy:
    """A backend that remembers what it was asked to restore."""

    def __init__(self, backend):
        self._backend = backend
        self.asked = []

    def __getattr__(self, name):
        return getattr(self._backend, name)

    def restore(self, task, observed, progress, **settings):
        self.asked.append({"task": task, "observed": observed, **settings})
        return self._backend.restore(task, observed, progress, **settings)


def serve(request, backend):
    spy = Spy(backend)
    page = demo.launch(spy, port=0, wait=False)
    request.addfinalizer(page.close)
    return spy, page.local_url.rstrip("/")


def hole_of(asked):
    hole = asked["known"][0, ..., 0] == 0
    rows, columns = np.nonzero(hole)
    assert hole[16, 16], "the stroke goes through the middle"
    assert 10 < rows.min() < rows.max() < 21, "and is horizontal"
    assert columns.min() < 14 < 18 < columns.max()
    return hole


def test_a_painted_hole_is_filled_and_nothing_else(request, browser, tiny_prior, face, tmp_path):
    (tmp_path / "letter.png").write_text("Dear Sir or Madam")
    spy, url = serve(request, demo.InProcess(tiny_prior))
    visitor = demo_visitor.Visitor(browser, url)
    visitor.upload(tmp_path / "letter.png", "Expected a readable image. Received: letter.png")
    visitor.page.locator("#example").click()
    visitor.upload(face, "32x32 pixels, taken whole")
    visitor.page.locator("#go").click()
    visitor.page.get_by_text("nothing painted").first.wait_for()
    assert not spy.asked
    visitor.paint()
    visitor.set("iterations", 10)
    visitor.set("solutions", 2)
    best, name = visitor.restore()
    assert name == "somebody_inpainting.png"
    (asked,) = spy.asked
    assert (asked["iterations"], asked["solutions"]) == (10, 2)
    hole, given = hole_of(asked), images.read_image(face)
    np.testing.assert_array_equal(best[~hole], given[~hole])
    assert (best[hole] != given[hole]).mean() > 0.5
    before = visitor.page.locator("#restored img").get_attribute("src")
    visitor.page.locator("#gallery button img").nth(1).click()
    visitor.page.wait_for_function(
        "before => document.querySelector('#restored img').getAttribute('src') != before",
        arg=before,
    )
    second, _ = visitor.download()
    np.testing.assert_array_equal(second[~hole], given[~hole])
    assert (best[hole] != second[hole]).any()
    assert not visitor.elsewhere, "nothing is fetched from elsewhere"


def test_the_page_over_a_server_gives_what_the_client_gives(
    request, browser, tiny_prior, face, tmp_path
):
    task = tfgpr.tasks.inpainting()
    base = tmp_path / "served"
    export_savedmodel(tiny_prior, base, iterations=3, default_task=task.name, tasks=[task])
    quiet = {"warm_up": False, "poll_seconds": 0, "log": lambda line: None}
    with (
        LocalServer(base, **quiet) as server,
        RestoreClient(f"localhost:{server.port}") as client,
    ):
        spy, url = serve(request, demo.Served(client))
        visitor = demo_visitor.Visitor(browser, url)
        assert not visitor.page.locator("#iterations").is_visible()
        visitor.upload(face, "32x32 pixels, taken whole")
        visitor.paint()
        restored, _ = visitor.restore()
        hole = hole_of(spy.asked[0])
        given = images.as_images(images.read_image(face))
        known = np.float32(~hole)[None, ..., None]
        alone = client.restore("inpainting", given * known, known=known)
    np.testing.assert_array_equal(restored, images.to_uint8(alone.images[0]))
