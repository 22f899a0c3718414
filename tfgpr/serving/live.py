"""Which versions of a model are live: new ones come before old ones go."""

import contextlib
import pathlib
import threading

from tfgpr.serving.loaded import LoadedVersion, RequestError
from tfgpr.serving.versions import versions


class LiveVersions:
    """The versions of one model that are loaded, and the state of those that were.

    Args:
      base, model, num_versions, warm_up, log: as in `LocalServer`.
    """

    def __init__(self, base, model, num_versions=1, warm_up=True, log=print):
        self.base = pathlib.Path(base)
        self.model = model
        self.states = {}  # version -> (name of the state, error message)
        self._num_versions = num_versions
        self._warm_up = warm_up
        self._log = log
        self._lock = threading.Lock()
        self._loaded = {}

    def follow(self):
        """Loads versions that have appeared, then retires those that have to go."""
        there = versions(self.base)
        wanted = there[-self._num_versions :]
        with self._lock:
            absent = [number for number in wanted if number not in self._loaded]
            # What failed is tried again only when it has been removed and written anew.
            self._forget(there)
        failed = [number for number in absent if self._failed(number) or not self._load(number)]
        if not failed or not wanted:
            for number in [number for number in self._loaded if number not in wanted]:
                self._retire(number)

    def _failed(self, number):
        return self.states.get(number, ("", ""))[1] != ""

    def _forget(self, there):
        for number in [each for each in self.states if each not in there and self._failed(each)]:
            del self.states[number]

    def _load(self, number):
        self.states[number] = ("LOADING", "")
        try:
            loaded = LoadedVersion(self.base / str(number), number, self._warm_up)
        except Exception as error:  # whatever is wrong with the files: go on serving the others
            self.states[number] = ("END", str(error) or repr(error))
            self._log(f"Version {number} cannot be served: {error}")
            return False
        with self._lock:
            self._loaded[number] = loaded
            self.states[number] = ("AVAILABLE", "")
        self._log(f"Version {number} is served.")
        return True

    def _retire(self, number):
        def closed():
            self.states[number] = ("END", "")
            self._log(f"Version {number} is unloaded.")

        with self._lock:
            loaded = self._loaded.pop(number)
            self.states[number] = ("UNLOADING", "")
        loaded.retire(closed)

    def close(self):
        """Retires every version."""
        for number in list(self._loaded):
            self._retire(number)

    def available(self):
        """Whether any version is served."""
        return bool(self._loaded)

    @contextlib.contextmanager
    def use(self, spec):
        """Yields the `LoadedVersion` that a ModelSpec asks for, and keeps it until the end.

        Raises:
          RequestError: another model, or a version that is not served.
        """
        with self._lock:
            if spec.name != self.model:
                raise RequestError("NOT_FOUND", f"Servable not found for request: {spec.name}")
            number = spec.version.value if spec.HasField("version") else None
            number = max(self._loaded, default=None) if number is None else number
            if number not in self._loaded:
                raise RequestError(
                    "NOT_FOUND", f"Servable not found for request: {spec.name}, version {number}"
                )
            loaded = self._loaded[number]
            loaded.begin()
        try:
            yield loaded
        finally:
            loaded.end()
