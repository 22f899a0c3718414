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


def task_of(about, name, folder):
    """The task of an export, with the settings that it was exported with.

    Args:
      about: as `parse` returns it.
      name: of one of the paper's tasks, whose observations can be made from files.
      folder: of the export, for messages.
    Raises:
      InputError: the export has no such task of the paper's, or one whose settings this tfgpr does
        not know.
    """
    known = [each for each in about["tasks"] if each in TASKS]
    if name not in known:
        raise InputError(
            f"Expected a task of {folder}: {', '.join(known) or 'none'}. Received: {name!r}; a "
            "task of your own takes arrays only, see tfgpr.serving.RestoreClient."
        )
    return made_with(name, about["tasks"][name].get("settings", {}), folder)


def made_with(name, settings, source):
    """The task of the paper's that was made with `settings`; `{}`, as of older exports: defaults.

    Raises:
      InputError: they are None, those of a task of somebody's own; this tfgpr does not know them.
        `source` is named.
    """
    if settings is None:
        raise InputError(
            f"Expected {name} as the paper has it. Received: a task of somebody's own by that "
            f"name, of {source}; it takes arrays only, see tfgpr.serving.RestoreClient."
        )
    try:
        return TASKS[name](**settings)
    except TypeError as error:
        raise InputError(
            f"Expected settings of {name} that this tfgpr knows. Received: {settings!r} of "
            f"{source}, from another version of tfgpr; export it again, or use that version."
        ) from error
