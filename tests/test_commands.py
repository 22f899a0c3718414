"""How scripts end."""

import os
import signal
import sys

import pytest
from absl import flags
from conftest import own_flags

from tfgpr import commands, images
from tfgpr.errors import InputError


def ending(main, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["script"])
    before = signal.getsignal(signal.SIGTERM)
    try:
        with own_flags(), pytest.raises(SystemExit) as end:
            commands.run(main)
        return end.value.code
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_script_that_is_told_to_end_tidies_up(monkeypatch):
    tidied = []

    def main(_):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()
        finally:
            tidied.append(True)

    assert ending(main, monkeypatch) == 130
    assert tidied == [True]


def test_a_folder_that_may_not_be_read_is_named(monkeypatch, tmp_path):
    def forbidden(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr("pathlib.Path.iterdir", forbidden)
    with pytest.raises(InputError, match=r"can be read.*Permission denied"):
        images.list_files(tmp_path)


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch):
    def main(_):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ending(main, monkeypatch)


@pytest.mark.parametrize(
    ("given", "most", "found"),
    [
        ("1,16,64", None, (1, 16, 64)),
        ("64", 64, (64,)),
        ("1,65", 64, "from 1 to 64"),
        ("0,2", None, "from 1 on"),
        ("2,x", None, "'x'"),
        ("-1", None, "'-1'"),
        ("", None, "--sizes"),
    ],
)
def test_a_list_of_numbers_is_read_or_refused(given, most, found):
    with own_flags():
        flags.DEFINE_list("sizes", None, "")
        flags.FLAGS(["script", f"--sizes={given}"])
        if isinstance(found, tuple):
            assert commands.numbers("sizes", most) == found
        else:
            with pytest.raises(InputError, match=found):
                commands.numbers("sizes", most)
