"""What happens on the page: each method of `Events` answers one of its events."""

import html
import pathlib
import shutil
import tempfile
import time

from tfgpr.demo import pictures
from tfgpr.errors import InputError
from tfgpr.images import to_uint8, write_png

CANVAS = 384  # side of the painting area and of the results, in pixels


class Events:
    """The answers, for one backend and all visitors; what is a visitor's own is in the page.

    Args:
      gr: the module gradio.
      backend: of `tfgpr.demo.backends`.
    """

    def __init__(self, gr, backend):
        self.gr = gr
        self.backend = backend
        # The slider has two digits; its first place means the crop of the prior exactly.
        exact = backend.face_crop or 1.0
        self._crop = lambda crop: exact if crop == round(exact, 2) else crop
        self._kept = tempfile.TemporaryDirectory(prefix="tfgpr-demo-")
        self.folder = self._kept.name  # of the files to download

    def new_face(self, task, path, clean, crop):
        """Another picture or crop: it is shown, and what was painted goes with the old one."""
        note, view = self._view(task, path, clean, crop)
        face = None if view is None else self._view("inpainting", path, True, crop)[1]
        painted = self._is_painted(task)
        return (
            note,
            self.gr.update(value=face, visible=painted),
            self.gr.update(value=view, visible=not painted),
        )

    def new_task(self, task, path, clean, crop):
        """Another task for the same picture: what was painted stays."""
        note, view = self._view(task, path, clean, crop)
        painted = self._is_painted(task)
        return (
            note,
            self.gr.update(visible=painted),
            self.gr.update(value=view, visible=not painted),
        )

    def restore(self, task, path, clean, crop, editor, search, progress, old=None):
        """Restores what the page shows; the arguments are its controls.

        Args:
          task, path, clean, crop: see `tfgpr.demo.pictures.observe`.
          editor: what the editor holds, a dict with "layers", or None.
          search: iterations, restarts, solutions and seed.
          progress: a `gradio.Progress`.
          old: what the gallery chose from so far, whose files are removed; or None.
        Returns:
          Status, observed, the gallery and what it chooses from; then as `choose`.
        """
        gr = self.gr
        began = time.monotonic()
        layers = (editor or {}).get("layers", ())
        names = ("iterations", "starts", "solutions", "seed")
        choice = {name: int(value or 0) for name, value in zip(names, search)}
        seed = choice["seed"]
        choice = choice if self.backend.searches else {}
        progress(0.0, desc="Starting")

        def say(done, steps):
            progress((done, steps), unit="iterations")

        try:
            loaded = pictures.observe(
                self.backend, task, path, clean, self._crop(crop), layers, seed
            )
            solutions = self.backend.restore(
                task, loaded.observed, say, **choice, **loaded.conditions
            )
        except InputError as error:
            raise gr.Error(
                _text(error, path), title="Not restored", print_exception=False
            ) from None
        seconds = f"{time.monotonic() - began:.1f} s"
        status = "Restored in " + ". ".join(
            part for part in (seconds, pictures.scores(solutions, loaded)) if part
        )
        forget(old)
        found = {
            # Of its own: the name is the upload's, and two visitors may have the same.
            "folder": tempfile.mkdtemp(dir=self.folder),
            "name": f"{pathlib.Path(path).stem}_{task}.png",
            "generated": to_uint8(solutions.generated),
            "images": to_uint8(solutions.images),
        }
        several = len(found["images"]) > 1
        thumbnails = [pictures.enlarge(image, CANVAS // 2) for image in solutions.images]
        return (
            status + ".",
            pictures.enlarge(solutions.observed[0], CANVAS),
            gr.update(value=thumbnails if several else [], visible=several, selected_index=None),
            found,
            *self.choose(found, 0),
        )

    def choose(self, found, index):
        """A solution of those `found` is shown: G(z), restored, and the download."""
        pixels = found["images"][index]
        path = pathlib.Path(found["folder"], str(index), found["name"])
        write_png(path, pixels)
        return (
            pictures.enlarge(found["generated"][index], CANVAS),
            pictures.enlarge(pixels, CANVAS),
            self.gr.update(value=str(path), interactive=True),
        )

    def _view(self, task, path, clean, crop):
        """What is taken of the upload in words, and its picture; with a warning if none."""
        if not path:
            return "", None
        crop = self._crop(crop)
        try:
            image = pictures.view(self.backend, task, path, clean, crop)
            note = pictures.cut_of(path, self.backend.image_size(task), crop)
        except InputError as error:
            self.gr.Warning(_text(error, path))
            return "", None
        return note, pictures.enlarge(image, CANVAS)

    def _is_painted(self, task):
        return "known" in self.backend.task(task).operator.conditions


def forget(found):
    """Removes the files of a restoration that a visitor can no longer choose from; Gradio has
    copied what it offers for download."""
    if found is not None:
        shutil.rmtree(found["folder"], ignore_errors=True)


def _text(error, path):
    """The message as HTML, without this machine's folders and the scripts' flags."""
    text = str(error).replace(str(path), pathlib.Path(path or "").name)
    return html.escape(text.replace("pass --corrupt", 'choose "clean"'))
