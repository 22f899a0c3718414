"""CTRL-C in a long loop: it ends between two steps, not somewhere within TensorFlow."""

import os
import signal
import threading

NOTED = b"\nInterrupting, once this step has ended; again ends at once.\n"


class Held:
    """A context in which SIGINT and SIGTERM wait for `deliver`; a second one does not.

    Raised where it happens to arrive, KeyboardInterrupt can leave a step half done, and
    TensorFlow's C code can lose it: EagerTensor's constructor makes a TypeError of it. What the
    signals do is not changed, only when. Signals that are ignored, or that end the process
    without Python, are left alone, and all are outside the main thread.
    """

    def __enter__(self):
        self._noted = None
        self._handlers = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                handler = signal.getsignal(number)
                if callable(handler):
                    self._handlers[number] = handler
                    signal.signal(number, self._note)
        return self

    def __exit__(self, kind, *_):
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if kind is None:
            self.deliver()

    def deliver(self):
        """Does what the signal that has arrived does: usually, raises KeyboardInterrupt."""
        number, self._noted = self._noted, None
        if number is not None:
            self._handlers[number](number, None)

    def _note(self, number, frame):
        if self._noted is not None:
            self.deliver()
        else:
            self._noted = number
            os.write(2, NOTED)  # print could be within a print here
