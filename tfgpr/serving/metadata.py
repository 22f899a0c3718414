"""What an export says about itself: `metadata.json`, which `export_savedmodel` writes."""

import json
import pathlib

from tfgpr.errors import InputError
from tfgpr.tasks import TASKS

FILE = "metadata.json"


def read(folder):
    """What the export in a folder of this machine says about itself; see `parse`.

    Raises:
      InputError: as `parse`; there is no such file, or it cannot be read.
    """
    try:
        content = pathlib.Path(folder, FILE).read_bytes()
    except OSError as error:
        raise InputError(
            f"Expected an export of tfgpr. Received: {folder}, whose {FILE} cannot be read "
            f"({error.strerror}); python export/export_savedmodel.py --output=FOLDER writes one."
        ) from error
    return parse(content, folder)


def parse(content, folder):
    """What an export says about itself.

    Args:
      content: of the file, bytes.
      folder: of the export, for messages.
    Returns:
      dict with `seed`, with `image_size` and `crop` in `prior`, and with `iterations` for each
      of `tasks`.
    Raises:
      InputError: it is no export of tfgpr.
    """
    try:
        about = json.loads(content)
        about["seed"], about["prior"]["image_size"], about["prior"]["crop"]
        for task in dict(about["tasks"]).values():
            task["iterations"]
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"Expected an export of tfgpr. Received: {folder}, whose {FILE} is none of ours "
            f"({error!r}); export it again."
        ) from error
    return about


def require_task(about, task, folder):
    """Raises InputError unless an export has `task`, and it is one of the paper's, whose
    observations can be made from files; `about` as `parse` returns it."""
    known = [name for name in about["tasks"] if name in TASKS]
    if task not in known:
        raise InputError(
            f"Expected a task of {folder}: {', '.join(known) or 'none'}. Received: {task!r}; a "
            "task of your own takes arrays only, see tfgpr.serving.RestoreClient."
        )
