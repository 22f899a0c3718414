"""The web demo in headless Chromium: upload, paint with the mouse, restore, download."""

import io
import shutil
import time

import numpy as np
import pytest

import tfgpr
from tfgpr import demo, images
from tfgpr.serving import RestoreClient, export_savedmodel
from tfgpr.serving.local_server import LocalServer

pytest.importorskip("gradio", reason="pip install 'tfgpr[demo]'")
sync_api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
if not CHROMIUM:
    pytest.skip("no browser: apt-get install chromium", allow_module_level=True)
_PATIENCE = 240_000  # milliseconds; a busy machine renders slowly


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def face(tiny_prior, tmp_path_factory):
    path = tmp_path_factory.mktemp("upload") / "somebody.png"
    images.write_png(path, tiny_prior.sample(1, seed=4).numpy()[0])
    return path


class Visitor:
    """A page as somebody uses it."""

    def __init__(self, browser, url):
        self.page = browser.new_page(viewport={"width": 1280, "height": 1100})
        self.page.set_default_timeout(_PATIENCE)
        self.url, self.elsewhere = url, []
        self.page.on("request", self._note)
        self.page.goto(url)
        self.page.locator("#go").wait_for()

    def _note(self, request):
        if not request.url.startswith((self.url, "data:", "blob:")):
            self.elsewhere.append(request.url)

    def upload(self, path, note):
        """Puts a file in place of what is there, and waits for the line below it."""
        self.page.locator("#note").get_by_text("taken whole").wait_for()
        self.page.locator("#upload button[aria-label=Clear]").click()
        self.page.locator("#upload input[type=file]").set_input_files(path)
        self.page.get_by_text(note).first.wait_for()

    def paint(self):
        """A stroke across the middle of the face, repeated until the editor shows it."""
        end = time.monotonic() + _PATIENCE / 1000
        while not self._is_painted():
            assert time.monotonic() < end, "no stroke appeared"
            box = self.page.locator("#editor canvas").first.bounding_box()
            x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
            self.page.mouse.move(x - 60, y)
            self.page.mouse.down()
            self.page.mouse.move(x + 60, y, steps=6)
            self.page.mouse.up()
            self.page.wait_for_timeout(500)

    def _is_painted(self):
        picture = self.page.locator("#editor canvas").first.screenshot()
        pixels = images.read_image(io.BytesIO(picture)).astype(int)
        return (np.abs(pixels - (255, 47, 160)).max(axis=-1) < 20).sum() > 1000

    def set(self, name, value):
        field = self.page.locator(f"#{name} input[type=number]")
        field.fill(str(value))
        field.press("Tab")

    def restore(self):
        """Clicks, waits for the answer, and returns the PNG behind the download button."""
        self.page.locator("#go").click()
        self.page.locator("#status").get_by_text("Restored in").wait_for()
        self.page.locator("#restored img").wait_for()
        return self.download()

    def download(self):
        with self.page.expect_download() as started:
            self.page.locator("#download").click()
        return images.read_image(started.value.path()), started.value.suggested_filename


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
    visitor = Visitor(browser, url)
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
        visitor = Visitor(browser, url)
        assert not visitor.page.locator("#iterations").is_visible()
        visitor.upload(face, "32x32 pixels, taken whole")
        visitor.paint()
        restored, _ = visitor.restore()
        hole = hole_of(spy.asked[0])
        given = images.as_images(images.read_image(face))
        known = np.float32(~hole)[None, ..., None]
        alone = client.restore("inpainting", given * known, known=known)
    np.testing.assert_array_equal(restored, images.to_uint8(alone.images[0]))
