"""Worker processes on the cores of one machine, each pinned to its own.

A worker is ``python -m dds.execution.worker``.  It inherits two descriptors, of its
:mod:`~dds.execution.handover` and of the :mod:`~dds.execution.shared_memory` that all share, and
talks with the caller by single bytes over its standard input and output: when to play, and that it
has played.  However this ends, no process and no memory is left behind: standard input ends with
the caller, and so do its workers.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Any, NoReturn, Self

import numpy as np
from numpy.typing import NDArray

from dds.engines import TensorSpec
from dds.engines.engine import check_feeds
from dds.errors import InternalError, InvalidInput
from dds.execution.handover import Handover, write_handover
from dds.execution.shared_memory import CALLER, Segment, SharedMailbox, anonymous_file, slots_of
from dds.model.graph import ModelGraph
from dds.parallel.program import Program
from dds.profile.runtime import DEFAULT_RUNTIME, Runtime

__all__ = [
    "DONE",
    "PLAY",
    "READY",
    "REFUSED",
    "PinnedRun",
    "PinnedWorkers",
    "available_cores",
    "check_cores",
]

#: The words between caller and worker.
PLAY, READY, DONE, REFUSED = b"p", b"r", b"d", b"!"
#: Have glibc keep what is freed: an inference allocates and frees the same tensors as the last one,
#: and getting megabytes back from the system, page by page, takes longer than many operators.
_KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str((1 << 31) - 1),
    "MALLOC_TOP_PAD_": str(1 << 26),
}
#: How long workers may take to load, and to play once, s: far more than any does that still runs.
_LIMIT = 600.0
#: How long workers may take to end by themselves, s.
_GRACE = 2.0


@dataclass(frozen=True, eq=False)
class PinnedRun:
    """One inference.

    outputs: the model's, by name; seconds: from the call until they were there; steps: for each
    worker how long each step of its program took, s, waiting included.
    """

    outputs: Mapping[str, NDArray[Any]]
    seconds: float
    steps: tuple[NDArray[np.float64], ...]


class PinnedWorkers:
    """One process per program, pinned to a core; use it in a ``with`` statement.

    programs: of a schedule, in order of their workers; graph: of the model they come from; cores:
    the processors, one for each, as the system numbers them (the same one twice is allowed, and
    slow); engine, runtime: what every worker computes with.

    Raises InvalidInput for cores that this process may not use, for another number of them, and for
    what an engine refuses; InternalError when a worker dies, or is not ready after ten minutes.
    """

    def __init__(
        self,
        programs: Sequence[Program],
        graph: ModelGraph,
        cores: Sequence[int],
        *,
        engine: str = "onnxruntime",
        runtime: Runtime = DEFAULT_RUNTIME,
    ) -> None:
        check_cores(cores, len(programs))
        tensors = (graph.tensors[t] for t in graph.inputs)
        self._inputs = [TensorSpec(t.name, t.dtype, t.shape) for t in tensors]
        self._turn = threading.Lock()
        self._programs = tuple(programs)
        self._processes: list[subprocess.Popen[bytes]] = []
        slots = slots_of(programs, graph)
        logs = [len(program.steps) for program in programs]
        self._segment = Segment.create(slots, logs)
        self._mailbox = SharedMailbox(self._segment, CALLER)
        try:
            for program, core in zip(programs, cores, strict=True):
                self._start(program, core, engine, runtime, logs)
            self._await(READY)
        except BaseException:
            self.close()
            raise

    @property
    def pids(self) -> tuple[int, ...]:
        """The process of each worker; none once they have ended."""
        return tuple(process.pid for process in self._processes)

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> PinnedRun:
        """One inference; threads take turns.

        inputs: all inputs of the model, by name, of its types and shapes.

        Raises InvalidInput for others, and when an operator fails on them, and InternalError when
        a worker died or has not played after ten minutes; after all but the first of these all
        workers have ended.
        """
        with self._turn:
            if not self._processes:
                raise InvalidInput("the workers have ended; start them again")
            check_feeds(self._inputs, inputs)
            return self._run(inputs)

    def _run(self, feeds: Mapping[str, NDArray[Any]]) -> PinnedRun:
        try:
            started = time.perf_counter()
            # Workers first: they wake up while the inputs are copied.
            for process in self._processes:
                with contextlib.suppress(BrokenPipeError):  # who has died is found out below
                    _stdin(process).write(PLAY)
            for program in self._programs:
                for part in program.inputs:
                    self._mailbox.send(part, program.worker, feeds[part.tensor])
            self._await(DONE)
            outputs = {
                part.tensor: np.array(self._mailbox.receive(part, program.worker))
                for program in self._programs
                for part in program.outputs
            }
            seconds = time.perf_counter() - started
            self._mailbox.finish()
        except BaseException:
            self.close()
            raise
        return PinnedRun(outputs, seconds, tuple(np.array(log) for log in self._segment.logs))

    def close(self) -> None:
        """End the workers; again does nothing."""
        if self._processes:
            self._segment.stop()
            end = time.monotonic() + _GRACE
            for process in self._processes:
                with contextlib.suppress(BrokenPipeError):
                    _stdin(process).close()
            for process in self._processes:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, end - time.monotonic()))
                process.kill()
                process.wait()
                assert process.stdout is not None  # noqa: S101 -- it is a pipe
                process.stdout.close()
            self._processes.clear()
        self._segment.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()

    def _start(
        self, program: Program, core: int, engine: str, runtime: Runtime, logs: Sequence[int]
    ) -> None:
        """Start a worker; it reads its program from a file that nobody else sees."""
        with os.fdopen(anonymous_file(), "r+b") as file:
            shared = self._segment.descriptor
            write_handover(
                file,
                Handover(
                    program, core, engine, runtime, os.getpid(), shared, self._segment.slots,
                    tuple(logs),
                ),
            )  # fmt: skip
            file.flush()
            file.seek(0)
            path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
            process = subprocess.Popen(  # noqa: S603 - this interpreter, our module
                [sys.executable, "-m", "dds.execution.worker", str(file.fileno())],
                env={**os.environ, **_KEEP_MEMORY, "PYTHONPATH": path},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
                pass_fds=(file.fileno(), shared),
                # Ctrl-C must reach this process alone; it then ends its workers.
                start_new_session=True,
            )
        self._processes.append(process)

    def _await(self, word: bytes) -> None:
        """Wait until every worker has said `word`; InternalError if one dies or hangs instead."""
        end = time.monotonic() + _LIMIT
        poll = select.poll()
        waiting = {}
        for k, process in enumerate(self._processes):
            assert process.stdout is not None  # noqa: S101 -- it is a pipe
            waiting[process.stdout.fileno()] = k
            poll.register(process.stdout, select.POLLIN)
        while waiting:
            ready = poll.poll(1e3 * max(0.0, end - time.monotonic()))
            if not ready:
                self._give_up(waiting.values())
            for descriptor, _ in ready:
                said = os.read(descriptor, 1)
                if said == word:
                    poll.unregister(descriptor)
                    del waiting[descriptor]
                    continue
                self._fail(waiting[descriptor], descriptor, said)

    def _give_up(self, late: Iterable[int]) -> NoReturn:
        """Kill workers that hang; who waits for them ends when all are closed."""
        for worker in late:
            self._processes[worker].kill()
        names = ", ".join(map(str, sorted(late)))
        raise InternalError(f"nothing from worker {names} for {_LIMIT:g} s; start them again")

    def _fail(self, worker: int, descriptor: int, said: bytes) -> None:
        """Raise what a worker refused, or that it died."""
        if said == REFUSED:
            with os.fdopen(os.dup(descriptor), "rb") as rest:
                raise InvalidInput(rest.readline().decode().strip())
        code = self._processes[worker].wait()
        raise InternalError(f"worker {worker} ended with code {code}")


def available_cores() -> set[int]:
    """Those this process may use; InvalidInput where the system pins no process to a core."""
    if not hasattr(os, "sched_setaffinity"):
        raise InvalidInput("cores: this system pins no process to a core; need Linux")
    return os.sched_getaffinity(0)


def check_cores(cores: Sequence[int], count: int) -> None:
    """Raise InvalidInput unless these are `count` cores that this process may use."""
    allowed = available_cores()
    if not isinstance(cores, Sequence):
        raise InvalidInput(f"cores is {cores!r}; give a list of numbers, one for each program")
    if len(cores) != count:
        raise InvalidInput(f"cores: {len(cores)} given for {count} programs; give one for each")
    for core in cores:
        # 0.0 and False equal a core's number, but nothing can be pinned to them.
        if type(core) is not int or core not in allowed:
            names = ", ".join(map(str, sorted(allowed)))
            raise InvalidInput(
                f"cores: {core!r} is not one this process may use; choose from {names}"
            )


def _stdin(process: subprocess.Popen[bytes]) -> IO[bytes]:
    assert process.stdin is not None  # noqa: S101 -- it is a pipe
    return process.stdin
