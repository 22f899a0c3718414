"""Version folders as TF Serving polls them: `BASE/<number>/saved_model.pb`."""

import contextlib
import os
import pathlib
import re
import shutil
import tempfile
import time

from tfgpr.errors import InputError
from tfgpr.files import require_free

_PARTIAL = ".writing-"  # no number, so no server takes it for a version
_ABANDONED = 24 * 3600.0  # seconds
LAST = 2**63 - 1  # TF Serving's versions are int64


def versions(base):
    """The version numbers in folder `base`, ascending; none where it is absent."""
    base = pathlib.Path(base)
    if not base.is_dir():
        return []
    return sorted(number for number in _taken(base) if (base / str(number)).is_dir())


def newest(base):
    """The folder of the highest version in folder `base`.

    Raises:
      InputError: there is none.
    """
    there = versions(base)
    if not there:
        raise InputError(
            f"Expected a folder with versions of a model, such as {base}/1. Received: {base}, "
            "with none; write one with export/export_savedmodel.py."
        )
    return pathlib.Path(base, str(there[-1]))


def _taken(base):
    """The numbers that are names in folder `base`, of files too."""
    names = (each.name for each in base.iterdir())
    return [int(name) for name in names if re.fullmatch("[1-9][0-9]*", name)]


@contextlib.contextmanager
def new_version(base, version=None):
    """Yields an empty folder to fill; on success it becomes `base/<version>`, in one rename.

    Whoever looks sees the old set of versions or the new one, also when this process is
    killed, or another one exports into the same folder.

    Args:
      base: folder of all versions; made if absent.
      version: a whole number from 1 on; None: the one after the last.
    Yields:
      `(folder, made)`: the folder to fill, and a list that holds the path of the finished
      version after the block.
    Raises:
      InputError: the version exists, or is no version number; `base` is a file, or below one.
    """
    base = pathlib.Path(base)
    require_free(base, overwrite=True)
    if version is not None and not 1 <= version <= LAST:
        raise InputError(f"Expected a version from 1 on, to {LAST}. Received: {version}.")
    if base.exists() and version in _taken(base):
        raise InputError(
            f"Expected a free version. Received: {version}, which exists in {base}. A served "
            "version is never changed: leave --version out for the next free one."
        )
    base.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(base)
    partial = pathlib.Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=base))
    partial.chmod(0o755)
    made = []
    try:
        yield partial, made
        made.append(_rename(partial, base, version))
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _rename(partial, base, version):
    while True:
        path = base / str(version or max(_taken(base), default=0) + 1)
        try:
            os.rename(partial, path)  # fails where the folder exists and holds something
        except OSError:
            if not path.exists():
                raise
            if version is not None:
                raise InputError(
                    f"Expected a free version. Received: {version}, which another export has "
                    f"just written in {base}; choose another one."
                ) from None
        else:
            return path


def _remove_abandoned(base):
    """Removes what an export that was killed left behind."""
    for partial in base.glob(f"{_PARTIAL}*"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - partial.stat().st_mtime > _ABANDONED:
                shutil.rmtree(partial, ignore_errors=True)
