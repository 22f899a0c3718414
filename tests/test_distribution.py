"""MirroredStrategy: two devices do together what one does alone."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np

SCRIPT = pathlib.Path(__file__).parent / "train_on_two_devices.py"


def test_two_devices_train_as_one_does_and_resume(tmp_path):
    run = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(SCRIPT.parent.parent)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout.splitlines()[-1])
    assert found["replicas"] == 2
    assert found["steps"] == 6
    np.testing.assert_allclose(*found["losses"].values(), rtol=1e-4, atol=1e-6)
    losses = np.array(found["losses"]["one"])
    assert np.abs(losses[0] - losses[2]).max() > 3e-3, "something is learned in between"
    assert found["difference"] < 1e-3 * found["spread"]
    assert found["encoder_difference"] < 1e-3 * found["encoder_spread"]
    assert "multiple of 2" in found["odd"]
