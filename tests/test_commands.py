"""How scripts end."""

import os
import signal
import sys
import time

import pytest
from absl import flags
from conftest import own_flags

from tfgpr import commands, images
from tfgpr.errors import InputError
from tfgpr.interrupts import Held


def ending(main, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["script"])
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with own_flags(), pytest.raises(SystemExit) as end:
            commands.run(main)
        return end.value.code
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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


def lose_interrupt(number):
    """What TensorFlow's C code does to a KeyboardInterrupt that arrives within it."""
    try:
        os.kill(os.getpid(), number)
        time.sleep(0)  # the handler has run
    except KeyboardInterrupt:
        raise TypeError("Was eager Context initialized?") from None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_that_became_another_error_is_one(number, monkeypatch, capsys):
    signal_before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert ending(lambda _: lose_interrupt(number), monkeypatch) == 130
    finally:
        signal.signal(signal.SIGINT, signal_before)
    assert capsys.readouterr().err == "\nInterrupted.\n"


def test_a_held_interrupt_waits_until_it_is_delivered_and_a_second_does_not():
    signal_before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with Held() as interrupts:
            interrupts.deliver()  # none
            lose_interrupt(signal.SIGINT)
            with pytest.raises(KeyboardInterrupt):
                interrupts.deliver()
            interrupts.deliver()  # it is over
            lose_interrupt(signal.SIGINT)
            with pytest.raises(TypeError):
                lose_interrupt(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt), Held():
            lose_interrupt(signal.SIGINT)  # at the latest where the context ends
        with pytest.raises(TypeError):
            lose_interrupt(signal.SIGINT)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with Held() as interrupts:
            lose_interrupt(signal.SIGINT)
            interrupts.deliver()
    finally:
        signal.signal(signal.SIGINT, signal_before)


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
