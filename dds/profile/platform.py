"""Several devices out of one machine.

A :class:`Platform` is this machine with onnxruntime set in some way, allowed to run only a part
of the time, its seconds stretched by a factor: a slower device whose operators keep this machine's
proportions, up to what a pause does to caches.

The duty cycle stops and continues a process by signals, as a quota would.  With one thread, what
counts is the CPU time of a process that is stopped all the time, divided by the duty: caches grown
cold are in it, late wake-ups of the process that stops it are not.  With more threads it is the
wall time, with both.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from subprocess import Popen

from dds.errors import InvalidInput
from dds.profile.runtime import Runtime, platform_fingerprint

__all__ = ["THIS_MACHINE", "Platform", "die_with_parent", "pace", "throttle"]

#: How long a process with a duty cycle runs at a stretch, s.
RUN = 5e-3
#: Least duty and frequency: at a smaller duty a process would stand still for minutes on end.
_LEAST_PART = 1e-3


@dataclass(frozen=True)
class Platform:
    """This machine, or a slower one made of it.

    runtime: how onnxruntime is set; duty: part of the time the process may run, in [0.001, 1];
    frequency: every second that something takes here takes 1/frequency s there, in [0.001, 1].

    Raises InvalidInput for parts outside these ranges.
    """

    runtime: Runtime = field(default_factory=Runtime)
    duty: float = 1.0
    frequency: float = 1.0

    def __post_init__(self) -> None:
        for name, part in (("duty", self.duty), ("frequency", self.frequency)):
            if not _LEAST_PART <= part <= 1.0:
                raise InvalidInput(
                    f"{name} is {part!r}; need a part in [{_LEAST_PART:g}, 1], such as 0.25"
                )

    @property
    def name(self) -> str:
        """Short, for tables: ``"1 thread, optimisation all, duty 25%"``."""
        parts = [("duty", self.duty), ("frequency", self.frequency)]
        slower = [f"{what} {100.0 * part:.10g}%" for what, part in parts if part < 1.0]
        return ", ".join([str(self.runtime), *slower])

    @property
    def fingerprint(self) -> str:
        """Equal where one profile serves both: names the CPU, onnxruntime and the platform."""
        rest = self.name.removeprefix(str(self.runtime))
        return f"{platform_fingerprint(self.runtime)}{rest}"


#: This machine as it is, one thread, everything optimised.
THIS_MACHINE = Platform()


@contextlib.contextmanager
def throttle(child: Popen[bytes], duty: float) -> Iterator[None]:
    """Let `child` run for the part `duty` of the time while the body runs; continue it after."""
    if duty >= 1.0:
        yield
        return
    done = threading.Event()

    def send(number: int) -> bool:
        if child.poll() is None:
            child.send_signal(number)
        return child.returncode is None

    arguments = (send, duty, done.wait, time.perf_counter)
    thread = threading.Thread(target=pace, args=arguments, name="dds-duty", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        send(signal.SIGCONT)


def pace(
    send: Callable[[int], bool],
    duty: float,
    wait: Callable[[float], bool],
    clock: Callable[[], float],
) -> None:
    """Stop and continue a process, so that it runs for the part `duty` of the time.

    send: gives it a signal, and says whether it is still there; wait: waits for some seconds, and
    says whether this is over.  How long the process really ran sets how long it stands still, so
    a late wake-up here does not change the duty.
    """
    started = clock()
    while not wait(RUN) and send(signal.SIGSTOP):
        stopped = clock()
        over = wait((stopped - started) * (1.0 - duty) / duty)
        started = clock()
        send(signal.SIGCONT)
        if over:
            return


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent ends, even while it is stopped.

    parent: the parent's process id; if that is gone already, SystemExit is raised.  Where the
    system has no such wish (it is Linux's ``PR_SET_PDEATHSIG``), nothing else happens.
    """
    import ctypes

    parent_death_signal = 1
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(parent_death_signal, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit("the process that wanted this measurement is gone")
