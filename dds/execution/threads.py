"""All workers of a schedule in one process: a thread for each, and mailboxes between them.

For programs in one process, and what every other way to play programs is compared with.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from queue import SimpleQueue
from typing import Any

from numpy.typing import NDArray

from dds.engines import Engine
from dds.execution.interpreter import Loaded, load
from dds.execution.mailbox import Mailbox, Stopped
from dds.parallel.program import Part, Program, Receive

__all__ = ["PostOffice", "run_here"]

Array = NDArray[Any]


class PostOffice:
    """Mailboxes of threads: arrays change hands uncopied."""

    def __init__(self, programs: Iterable[Program]) -> None:
        """A queue for everything that some program receives."""
        self._queues: dict[tuple[Part, int, int], SimpleQueue[Array | None]] = {
            (step.part, step.sender, program.worker): SimpleQueue()
            for program in programs
            for step in program.steps
            if isinstance(step, Receive)
        }

    def mailbox(self, worker: int) -> Mailbox:
        """The mailbox of a worker."""
        return _ThreadMailbox(self._queues, worker)

    def stop(self) -> None:
        """Have everyone who waits, now or later, raise Stopped."""
        for queue in self._queues.values():
            queue.put(None)


class _ThreadMailbox:
    def __init__(
        self, queues: Mapping[tuple[Part, int, int], SimpleQueue[Array | None]], worker: int
    ) -> None:
        self._queues = queues
        self._worker = worker

    def send(self, part: Part, receiver: int, values: Array) -> None:
        self._queues[part, self._worker, receiver].put(values)

    def receive(self, part: Part, sender: int) -> Array:
        values = self._queues[part, sender, self._worker].get()
        if values is None:
            raise Stopped("another worker has failed")
        return values


def run_here(
    programs: Sequence[Program], feeds: Mapping[str, Array], engine: Engine
) -> dict[str, Array]:
    """Load all programs of a schedule, play each once on a thread of its own; the outputs.

    programs: of all workers, worker 0 first, whose inputs are `feeds` by name.

    Raises InvalidInput like :func:`~dds.execution.interpreter.load` and
    :meth:`Loaded.play <dds.execution.interpreter.Loaded.play>`, once all threads have ended.
    """
    office = PostOffice(programs)
    team: list[Loaded] = []
    try:
        team += (load(program, engine) for program in programs)
        return _play(team, feeds, office)
    finally:
        for loaded in team:
            loaded.close()


def _play(
    team: Sequence[Loaded], feeds: Mapping[str, Array], office: PostOffice
) -> dict[str, Array]:
    outputs: dict[str, Array] = {}
    errors: list[BaseException] = []

    def work(loaded: Loaded) -> None:
        try:
            outputs.update(loaded.play(feeds, office.mailbox(loaded.program.worker)))
        except Stopped:
            pass  # whoever failed says why
        except BaseException as error:
            errors.append(error)
            office.stop()

    threads = [threading.Thread(target=work, args=(loaded,)) for loaded in team[1:]]
    for thread in threads:
        thread.start()
    work(team[0])
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return outputs
