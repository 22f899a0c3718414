"""What a run starts from: files, masks and the export, each checked before anything runs."""

import os
import posixpath

import apache_beam as beam
from apache_beam.io import fileio

from tfgpr.bulk import storage
from tfgpr.errors import InputError
from tfgpr.files import require_free
from tfgpr.observations import read_mask


def listing_of(source, root):
    """The transform that lists the paths, the folder that they are relative to, and the folder
    below which all is looked through; "" and None where there is no such folder.

    Raises:
      InputError: nothing is there.
    """
    if not source:
        raise InputError("Expected a folder, a pattern, a list or an image. Received: nothing.")
    if not storage.is_pattern(source) and source.endswith(".txt"):
        storage.read(source)
        lines = beam.io.ReadFromText(source) | "Strip" >> beam.Map(str.strip)
        return lines | "Lines" >> beam.Filter(bool), root or "", None
    below = storage.everything_below(source)
    if storage.first_match(below):
        pictures = "Pictures" >> beam.Filter(storage.is_picture, source)
        return _matching(below) | pictures, root or source, source
    pattern = source if storage.root_of(source) else f"./{source}"
    if os.path.isdir(source) or not storage.first_match(pattern):
        raise InputError(
            f"Expected a folder, a pattern, a .txt list or an image. Received: {source}, which "
            "is absent, or where no file is."
        )
    start = storage.root_of(pattern)
    return _matching(pattern), root or start, start if "**" in pattern else None


def _matching(pattern):
    return fileio.MatchFiles(pattern) | "Path" >> beam.Map(lambda file: file.path)


def require_output(output, root, tree):
    """Raises InputError where no folder can be, where a picture would take the place of the file
    that it is made from, or where a second run would restore the first's.

    Args:
      output: folder of the pictures.
      root, tree: as `listing_of` returns them.
    """
    if not output:
        raise InputError("Expected a folder for the output. Received: nothing.")
    if storage.is_local(output):
        require_free(output, overwrite=True)
    else:  # or its file system, if absent, would be missed after the first restoration only
        storage.first_match(storage.join(storage.quoted(output), "report*"))
    inner = _absolute(output)
    if (root and inner == _absolute(root)) or (tree and inner.startswith(_absolute(tree))):
        raise InputError(
            f"Expected an output outside of the input. Received: {output}, inside of "
            f"{tree or root}; choose another folder."
        )


def _absolute(path):
    path = os.path.abspath(path) if storage.is_local(path) else posixpath.normpath(path)
    return path.rstrip("/") + "/"


def masks_of(known, task):
    """(content of the one mask, None), or (None, folder of masks), or twice None."""
    if known is None:
        if task == "inpainting":
            raise InputError(
                "Expected a mask with inpainting: --known=MASK.png, or a folder of them. "
                "Received: none."
            )
        return None, None
    if task != "inpainting":
        raise InputError(f"Expected no mask with {task}. Received: {known}; leave it out.")
    if storage.first_match(storage.everything_below(known)):
        return None, known
    content = storage.read(known)
    mask = read_mask(storage.NamedBytes(content, known))
    if mask.min() == mask.max():
        color = "white: nothing is left to restore" if mask.max() else "black: nothing is observed"
        raise InputError(
            "Expected a mask that is white where a pixel was observed and black in the hole. "
            f"Received: {known}, all {color}."
        )
    return content, None
