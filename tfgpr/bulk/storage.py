"""Files on any file system that Beam knows (a local disk, gs://, s3://, hdfs://)."""

import io
import json
import os
import pathlib
import posixpath
import re
import struct

import PIL.Image
import PIL.PngImagePlugin
from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems

from tfgpr.errors import InputError
from tfgpr.images import EXTENSIONS, to_uint8

_LARGEST_FILE = 2**28  # bytes; no photograph is larger
_NOTE = "tfgpr"  # keyword of the text that a picture carries
_WILDCARDS = "*?["
_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"IEND\xaeB`\x82"


class NamedBytes(io.BytesIO):
    """A file's content that messages call by its name."""

    def __init__(self, content, name):
        super().__init__(content)
        self._name = name

    def __repr__(self):
        return self._name


def read(path):
    """The content of a file, as bytes.

    Raises:
      InputError: it is absent, not readable, or larger than any photograph.
    """
    try:
        with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
            content = file.read(_LARGEST_FILE + 1)
    except FileNotFoundError:
        raise InputError(f"Expected a file. Received: {path}, absent.") from None
    except (OSError, ValueError, BeamIOError) as error:  # ValueError: no such file system
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"Expected a readable file. Received: {path} ({reason}).") from None
    if len(content) > _LARGEST_FILE:
        raise InputError(f"Expected a file of up to {_LARGEST_FILE} bytes. Received: {path}.")
    return content


def lines(path):
    """The lines of a file, as bytes, one at a time; none where it is absent."""
    if FileSystems.exists(path):
        with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
            yield from file


def write(path, content):
    """Writes a file so that a reader sees all of it or none.

    Locally it is written beside and renamed. What a killed run left beside is overwritten by
    the next run, since its name is always the same. Object stores show whole objects only.
    """
    if FileSystems.get_scheme(path) is not None:
        with FileSystems.create(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
            file.write(content)
        return
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(content)
    os.replace(partial, path)


def join(folder, name):
    """`name` below `folder`."""
    return f"{folder.rstrip('/')}/{name}"


def is_local(path):
    """Whether a path is on this machine, not on a store with a scheme of its own."""
    return FileSystems.get_scheme(path) is None


def matches(pattern, limit=None):
    """The paths of the files that match, `limit` of them at most.

    Raises:
      InputError: they cannot be listed; a file system whose extra of Beam is missing.
    """
    try:
        found = FileSystems.match([pattern], limits=[limit])[0].metadata_list
    except (OSError, ValueError, BeamIOError) as error:
        raise InputError(
            f"Expected files that can be listed. Received: {pattern} ({error})."
        ) from error
    return [file.path for file in found]


def first_match(pattern):
    """Whether any file matches; raises as `matches`."""
    return bool(matches(pattern, 1))


def everything_below(folder):
    """A pattern of all files below a folder."""
    return join(quoted(folder), "**")


def quoted(path):
    """A path as a pattern that nothing else matches."""
    return re.sub(r"[*?\[]", r"[\g<0>]", path)


def root_of(pattern):
    """The folder of a pattern, up to its first wildcard, or of a file."""
    first = min((pattern.find(sign) for sign in _WILDCARDS if sign in pattern), default=None)
    return posixpath.dirname(pattern[:first])


def is_pattern(path):
    return any(sign in path for sign in _WILDCARDS)


def is_picture(path, root):
    """Whether a file is below `root` and looks like an image: its ending, nothing hidden."""
    name = _relative(path, root)
    if name is None or not name.lower().endswith(EXTENSIONS):
        return False
    return not any(part.startswith(".") for part in name.split("/"))


def below(path, root):
    """`path` relative to `root`; where it lies elsewhere, the whole path without its start.

    Raises:
      InputError: the path leads upwards, out of any folder.
    """
    name = _relative(path, root) if root else None
    name = _plain(path).lstrip("/") if name is None else name
    if name.split("/")[0] == "..":
        raise InputError(
            f"Expected a path that stays below its folder. Received: {path}; give it from /, "
            "or name a root that holds it."
        )
    return name


def _relative(path, root):
    """`path` below `root`, or None."""
    path, root = _plain(path), _plain(root).rstrip("/") + "/"
    if root == "./":
        return None if path.startswith(("/", "../")) else path
    return path[len(root) :] if path.startswith(root) else None


def _plain(path):
    """A path without its scheme, `//`, `/./` and the like."""
    return posixpath.normpath(path.partition("://")[2] or path)


def target(name):
    """What the picture of the file `name` is called: the same, ending in .png."""
    stem, ending = posixpath.splitext(name)
    return f"{stem if ending.lower() in EXTENSIONS else name}.png"


def to_png(image, note):
    """An image in [0, 1] as a PNG file that carries `note`, a dict."""
    text = PIL.PngImagePlugin.PngInfo()
    text.add_text(_NOTE, json.dumps(note, sort_keys=True))
    file = io.BytesIO()
    PIL.Image.fromarray(to_uint8(image)).save(file, "PNG", pnginfo=text)
    return file.getvalue()


def read_note(path):
    """What the picture at `path` carries: a dict, empty where it is not one of ours.

    Returns None where no whole picture is: nothing, an empty file or a damaged PNG file.
    """
    try:
        content = read(path)
    except InputError:
        return None
    if not _PNG_START.startswith(content[:8]):
        return {}
    try:
        with PIL.Image.open(io.BytesIO(content)) as image:
            text = image.info.get(_NOTE, "{}")
            image.verify()  # the check sums; decoding would not miss the last bytes
    except (OSError, SyntaxError, ValueError, struct.error):
        return None
    if not content.endswith(_PNG_END):
        return None
    try:
        note = json.loads(text)
    except ValueError:
        return {}
    return note if isinstance(note, dict) else {}
