"""An end for calls that may never return."""

import faulthandler
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """End the process, with exit code 1 and every thread's stack on stderr, if what is inside takes longer.

    For calls into C, which no exception interrupts: a process that has ended is started anew by its supervisor, one
    that waits forever is taken for healthy. One at a time in a process.
    """
    faulthandler.dump_traceback_later(seconds, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
