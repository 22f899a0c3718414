"""Somebody at the web demo: a page in headless Chromium, driven by Playwright.

python tests/demo_visitor.py    # redraws the README's picture of it, tfgpr/assets/demo.png
"""

import contextlib
import io
import shutil
import time

import numpy as np

from tfgpr import images

_PATIENCE = 240_000  # milliseconds; a busy machine renders slowly


def chromium():
    """Path of the browser, or None."""
    return shutil.which("chromium") or shutil.which("google-chrome")


@contextlib.contextmanager
def browsing():
    """A browser of Playwright's."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


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
        self.page.locator("#note").get_by_text("64x64 pixels").wait_for()  # the example
        self.page.locator("#upload button[aria-label=Clear]").click()
        self.page.locator("#upload input[type=file]").set_input_files(path)
        self.page.get_by_text(note).first.wait_for()

    def paint(self, lines=(0,)):
        """Strokes across the face, so far below its middle, until the editor shows them."""
        end = time.monotonic() + _PATIENCE / 1000
        while not self._is_painted():
            assert time.monotonic() < end, "no stroke appeared"
            box = self.page.locator("#editor canvas").first.bounding_box()
            x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
            for line in lines:
                self.page.mouse.move(x - 60, y + line)
                self.page.mouse.down()
                self.page.mouse.move(x + 60, y + line, steps=6)
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


def main():
    import PIL.Image

    import tfgpr
    from tfgpr import demo

    page = demo.launch(demo.InProcess(tfgpr.load_prior()), port=0, wait=False)
    with browsing() as browser:
        visitor = Visitor(browser, page.local_url.rstrip("/"))
        visitor.paint(lines=(5, 35))
        visitor.set("solutions", 4)
        visitor.restore()
        visitor.page.locator("#gallery img").nth(3).wait_for()
        visitor.page.wait_for_timeout(5000)  # pictures fade in
        shot = visitor.page.screenshot(full_page=True)
    page.close()
    picture = PIL.Image.fromarray(images.read_image(io.BytesIO(shot)))
    # 256 colors keep the file below 200 kB.
    picture.quantize(256, dither=PIL.Image.Dither.FLOYDSTEINBERG).save(
        images.ASSETS / "demo.png", optimize=True
    )


if __name__ == "__main__":
    main()
