"""An export of one TensorFlow, run by another one.

    python tests/cross_stack.py write FOLDER    # on TensorFlow 2.15
    python tests/cross_stack.py read FOLDER     # on current TensorFlow

`write` exports a small prior and stores what Python makes of some observations; `read` runs the
export in the four ways of tests/test_serving.py and compares. Continuous integration runs one
on each stack, which a test within one environment cannot.
"""

import pathlib
import sys

TESTS = pathlib.Path(__file__).parent
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from conftest import make_tiny_prior  # noqa: E402
from test_serving import OUTPUTS, WAYS, in_python, named, observe  # noqa: E402

from tfgpr.serving import export_savedmodel  # noqa: E402
from tfgpr.tasks import TASKS  # noqa: E402

ITERATIONS = 10


def write(folder):
    prior = make_tiny_prior()
    export_savedmodel(prior, folder / "tfgpr", iterations=ITERATIONS)
    answers = {}
    for name, make in TASKS.items():
        task = named(make, ITERATIONS)
        inputs = observe(task, 3)
        for kind, arrays in (("in", inputs), ("out", in_python(prior, task, inputs))):
            answers.update({f"{name}/{kind}/{key}": value for key, value in arrays.items()})
    np.savez(folder / "answers.npz", **answers, tensorflow=tf.__version__)
    print(f"TensorFlow {tf.__version__} wrote {folder}")


def read(folder):
    with np.load(folder / "answers.npz") as stored:
        answers = dict(stored)

    def of(name, kind):
        start = f"{name}/{kind}/"
        return {key[len(start) :]: answers[key] for key in answers if key.startswith(start)}

    path = folder / "tfgpr" / "1"
    for label, way in WAYS.items():
        worst = dict.fromkeys(OUTPUTS, 0.0)
        requests = [(name, of(name, "in")) for name in TASKS]
        for name, found in zip(TASKS, way(path, requests), strict=True):
            for key, value in of(name, "out").items():
                np.testing.assert_allclose(found[key], value, 1e-4, 1e-4, err_msg=f"{name} {key}")
                worst[key] = max(worst[key], float(np.abs(found[key] - value).max()))
        far = ", ".join(f"{key} {value:.1e}" for key, value in worst.items())
        print(f"{answers['tensorflow']} in {tf.__version__} {label}: largest difference {far}")


if __name__ == "__main__":
    {"write": write, "read": read}[sys.argv[1]](pathlib.Path(sys.argv[2]))
