"""The output folder: what is finished stays finished, and nothing is mixed.

settings.json   what was evaluated: protocol, images, floors of the realism measures
cells/          one .npz for each finished (task, method): scores, examples, with what
cache/          what the baselines learned
results.json, table.md, figure.png, report.html
"""

import json
import pathlib
import shutil

import numpy as np

from tfgpr.errors import InputError
from tfgpr.files import atomic_path, read_json, require_free, write_json

_RESULTS = ("results.json", "table.md", "figure.png", "report.html")


class Store:
    """One evaluation on disk.

    Args:
      path: the output folder.
      settings: JSON values that all cells share.
      overwrite: throw away results that are there.
    Raises:
      InputError: the folder holds something else, or results under other settings.
    """

    def __init__(self, path, settings, overwrite=False):
        self.path = pathlib.Path(path)
        self.settings = settings
        file = self.path / "settings.json"
        if overwrite and file.is_file():
            self._clear()
        if not file.is_file():
            require_free(self.path, overwrite)
            self.path.mkdir(parents=True, exist_ok=True)
            write_json(file, settings)
            return
        self._require_same(read_json(file), settings, f"The results in {self.path}")

    def _clear(self):
        shutil.rmtree(self.path / "cells", ignore_errors=True)
        for name in ("settings.json", *_RESULTS):
            (self.path / name).unlink(missing_ok=True)

    @staticmethod
    def _require_same(stored, wanted, what):
        names = sorted(key for key in wanted if stored.get(key) != wanted[key])
        if names:
            differences = ", ".join(f"{k}: {stored.get(k)} then, {wanted[k]} now" for k in names)
            raise InputError(
                f"{what} were made with something else ({differences}). Choose another --output, "
                "or pass --overwrite to throw them away."
            )

    def require_made_with(self, made_with):
        """Raises InputError if a finished cell was made with another prior or training set.

        Args:
          made_with: `{(task, method): settings}` of the cells of this run.
        """
        for (task, method), settings in made_with.items():
            cell = self.read(task, method)
            if cell is not None:
                what = f"The finished results of {method} for {task} in {self.path}"
                self._require_same(cell["made_with"], settings, what)

    def _file(self, task, method):
        return self.path / "cells" / f"{task}-{method}.npz"

    def read(self, task, method):
        """A finished cell as a dict, or None."""
        file = self._file(task, method)
        if not file.is_file():
            return None
        with np.load(file) as stored:
            return {**json.loads(str(stored["about"])), "examples": stored["examples"]}

    def write(self, task, method, scores, made_with, examples, per_image):
        """Finishes a cell.

        Args:
          task, method: their names.
          scores: JSON values for results.json.
          made_with: JSON values that a later run must share.
          examples: uint8 images for the figure.
          per_image: dict of arrays, one number per image.
        """
        about = json.dumps({"scores": scores, "made_with": made_with})
        with atomic_path(self._file(task, method)) as partial, open(partial, "wb") as file:
            np.savez_compressed(file, about=about, examples=examples, **per_image)

    def cells(self, tasks, methods):
        """`{task: {method: cell}}` of what is finished, in the order given."""
        found = {task: {method: self.read(task, method) for method in methods} for task in tasks}
        found = {t: {m: cell for m, cell in row.items() if cell} for t, row in found.items()}
        return {task: row for task, row in found.items() if row}
