"""Writing results: complete or not at all, and never over somebody's work."""

import contextlib
import json
import os
import pathlib
import shutil
import tempfile

from tfgpr.errors import InputError

# Read once: it can only be read by setting it, which other threads would see.
_UMASK = os.umask(0)
os.umask(_UMASK)


@contextlib.contextmanager
def atomic_path(path):
    """Yields a path beside `path` to write to; renames it to `path` on success.

    A reader sees the old file or the whole new one. On any exception the partial file is
    removed and `path` is left as it was.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(prefix=".tfgpr-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    try:
        yield pathlib.Path(partial)
        os.chmod(partial, 0o666 & ~_UMASK)
        os.replace(partial, path)
    except BaseException:
        pathlib.Path(partial).unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def atomic_folder(path, overwrite=False):
    """Yields an empty folder beside `path` to fill; its files move to `path` on success.

    A new `path` appears at once. With `overwrite`, files of the same name in an existing one
    are replaced one by one, in the order in which they were written; others are left alone.

    Raises:
      InputError: `path` already holds something and `overwrite` is false, or is a file.
    """
    path = pathlib.Path(path)
    require_free(path, overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = pathlib.Path(tempfile.mkdtemp(prefix=".tfgpr-", dir=path.parent))
    try:
        yield partial
        partial.chmod(0o777 & ~_UMASK)
        if not path.exists():
            os.replace(partial, path)
        else:
            for file in sorted(partial.iterdir(), key=lambda file: file.stat().st_mtime_ns):
                os.replace(file, path / file.name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def require_free(path, overwrite=False):
    """Raises InputError unless `path` is a new or empty folder, or may be overwritten, in a place
    where files can be written. (The folders above it are made.)"""
    path = pathlib.Path(path)
    try:
        for folder in (path, *path.parents):
            if folder.exists() and not folder.is_dir():
                raise InputError(
                    f"Expected a folder for the output. Received: {path}; {folder} is a file."
                )
        folder = path if path.exists() else path.parent
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise InputError(
            f"Expected an output that can be written. Received: {path} "
            f"({error.strerror or error}); choose another."
        ) from error
    if not overwrite and path.is_dir() and any(path.iterdir()):
        raise InputError(
            f"The output folder {path} already holds files. Choose an empty or new folder, "
            "or pass --overwrite (overwrite=True)."
        )


def write_json(path, value):
    """Writes `value` as indented JSON, atomically."""
    with atomic_path(path) as partial:
        partial.write_text(json.dumps(value, indent=2) + "\n")


def read_json(path):
    """What `write_json` wrote.

    Raises:
      InputError: the file is damaged.
    """
    try:
        return json.loads(pathlib.Path(path).read_text())
    except ValueError as error:
        raise InputError(
            f"Expected JSON in {path}. Received: a damaged file ({error}); delete it to start anew."
        ) from error
