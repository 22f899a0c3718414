"""How tfgpr's scripts run: a user's mistake is one line and exit code 2, no traceback."""

import errno
import os
import signal
import sys
import threading

from absl import app, flags

from tfgpr.errors import InputError


def run(main, others=False):
    """Runs `main(argv)` by `absl.app.run`; bad input and full disks end with exit code 2, CTRL-C
    and SIGTERM with 130.

    Args:
      main: what to run.
      others: leave arguments that are no flag of the script to `main`, in `argv[1:]`.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    interrupted = []

    def interrupt(number, frame):
        interrupted.append(number)
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, interrupt)
        if callable(signal.getsignal(signal.SIGINT)):  # else it is ignored, as under nohup
            signal.signal(signal.SIGINT, interrupt)

    def parse(argv):
        try:
            return flags.FLAGS(argv, known_only=others)
        except flags.Error as error:
            sys.exit(_say(f"{error}. --help lists the flags."))

    def guarded(argv):
        try:
            if len(argv) > 1 and not others:
                raise InputError(f"Expected flags only. Received: {' '.join(argv[1:])}")
            main(argv)
        except InputError as error:
            sys.exit(_say(error))
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
                raise
            sys.exit(_say(f"Cannot read or write: {error}. Free some space or choose another."))
        except (KeyboardInterrupt, Exception) as error:
            # Within TensorFlow's C code KeyboardInterrupt may have become another error.
            if not isinstance(error, KeyboardInterrupt) and not interrupted:
                raise
            print("\nInterrupted.", file=sys.stderr)
            sys.exit(130)

    app.run(guarded, flags_parser=parse)


def numbers(name, most=None):
    """The value of a list flag as whole numbers from 1 to `most` (None: to any).

    Raises:
      InputError: it is empty, or has something else in it.
    """
    values = flags.FLAGS[name].value
    limit = f"from 1 to {most}" if most else "from 1 on"
    if not values or not all(
        value.isdecimal() and 1 <= int(value) <= (most or int(value)) for value in values
    ):
        raise InputError(f"Expected --{name} as numbers {limit}. Received: {values}.")
    return tuple(map(int, values))


def _say(message):
    print(f"error: {message}", file=sys.stderr)
    return 2
