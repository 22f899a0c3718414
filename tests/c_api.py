"""Runs a SavedModel by TensorFlow's C API and ctypes: no TensorFlow Python, graph or import.

python tests/c_api.py REQUESTS.json RESULTS.npz

REQUESTS.json: {"libraries": [paths], "export": folder, "runs": [{"inputs": {tensor name:
.npy file}, "outputs": {alias: tensor name}}]}. RESULTS.npz holds `<run>/<alias>`, or
`<run>/error` with the code and the message. float32 only.
"""

import ctypes
import json
import sys

import numpy as np

_FLOAT = 1  # TF_FLOAT


class _Output(ctypes.Structure):
    _fields_ = (("operation", ctypes.c_void_p), ("index", ctypes.c_int))


_POINTERS = [
    "TF_AllocateTensor",
    "TF_GraphOperationByName",
    "TF_LoadSessionFromSavedModel",
    "TF_NewGraph",
    "TF_NewSessionOptions",
    "TF_NewStatus",
    "TF_TensorData",
]


class Library:
    """The few functions of tensorflow/c/c_api.h that are needed."""

    def __init__(self, paths):
        self._loaded = [ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL) for path in paths]
        self._cache = {}

    def __getattr__(self, name):
        if name not in self._cache:
            holder = next(each for each in self._loaded if hasattr(each, name))
            function = getattr(holder, name)
            function.restype = ctypes.c_void_p if name in _POINTERS else ctypes.c_int64
            if name == "TF_Message":
                function.restype = ctypes.c_char_p
            self._cache[name] = function
        return self._cache[name]


class Session:
    def __init__(self, paths, export):
        self.tf = Library(paths)
        self.graph = ctypes.c_void_p(self.tf.TF_NewGraph())
        self.status = ctypes.c_void_p(self.tf.TF_NewStatus())
        tags = (ctypes.c_char_p * 1)(b"serve")
        self.session = ctypes.c_void_p(
            self.tf.TF_LoadSessionFromSavedModel(
                ctypes.c_void_p(self.tf.TF_NewSessionOptions()),
                None,
                export.encode(),
                tags,
                ctypes.c_int(1),
                self.graph,
                None,
                self.status,
            )
        )
        self.check()

    def check(self):
        code = self.tf.TF_GetCode(self.status) & 0xFFFFFFFF
        if code:
            raise RuntimeError(f"{code}: {self.tf.TF_Message(self.status).decode()}")

    def output(self, tensor_name):
        operation, index = tensor_name.split(":")
        found = self.tf.TF_GraphOperationByName(self.graph, operation.encode())
        return _Output(found, int(index))

    def tensor(self, array):
        array = np.ascontiguousarray(array, np.float32)
        dims = (ctypes.c_int64 * array.ndim)(*array.shape)
        size = ctypes.c_size_t(array.nbytes)
        tensor = self.tf.TF_AllocateTensor(ctypes.c_int(_FLOAT), dims, array.ndim, size)
        data = self.tf.TF_TensorData(ctypes.c_void_p(tensor))
        ctypes.memmove(data, array.ctypes.data, array.nbytes)
        return tensor

    def array(self, tensor):
        tensor = ctypes.c_void_p(tensor)
        rank = self.tf.TF_NumDims(tensor) & 0xFFFFFFFF
        shape = [self.tf.TF_Dim(tensor, ctypes.c_int(axis)) for axis in range(rank)]
        size = self.tf.TF_TensorByteSize(tensor)
        data = ctypes.string_at(self.tf.TF_TensorData(tensor), size)
        return np.frombuffer(data, np.float32).reshape(shape)

    def run(self, inputs, outputs):
        feeds = (_Output * len(inputs))(*map(self.output, inputs))
        values = (ctypes.c_void_p * len(inputs))(*map(self.tensor, inputs.values()))
        fetches = (_Output * len(outputs))(*map(self.output, outputs.values()))
        results = (ctypes.c_void_p * len(outputs))()
        self.tf.TF_SessionRun(
            self.session, None,
            feeds, values, ctypes.c_int(len(inputs)),
            fetches, results, ctypes.c_int(len(outputs)),
            None, ctypes.c_int(0), None, self.status,
        )  # fmt: skip
        self.check()
        return {alias: self.array(result) for alias, result in zip(outputs, results)}


def main(requests, results):
    with open(requests) as file:
        asked = json.load(file)
    session = Session(asked["libraries"], asked["export"])
    found = {}
    for index, run in enumerate(asked["runs"]):
        inputs = {name: np.load(path) for name, path in run["inputs"].items()}
        try:
            answer = session.run(inputs, run["outputs"])
        except RuntimeError as error:
            answer = {"error": np.array(str(error))}
        found.update({f"{index}/{name}": value for name, value in answer.items()})
    np.savez(results, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
