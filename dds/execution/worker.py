"""A worker process: reads its handover, loads its program, and plays it whenever it is told to.

``python -m dds.execution.worker DESCRIPTOR`` is for :mod:`dds.execution.processes` alone.
"""

from __future__ import annotations

import gc
import os
import sys

from dds.engines import engine
from dds.errors import DdsError
from dds.execution.handover import Handover, read_handover
from dds.execution.interpreter import load
from dds.execution.mailbox import Stopped
from dds.execution.processes import DONE, PLAY, READY, REFUSED
from dds.execution.shared_memory import CALLER, Segment, SharedMailbox

__all__: list[str] = []


def _main() -> None:
    # What others print must not look like our words.
    replies = os.dup(1)
    os.dup2(2, 1)
    with os.fdopen(int(sys.argv[1]), "rb") as file:
        handover = read_handover(file)
    os.sched_setaffinity(0, {handover.core})
    try:
        _play_on(handover, replies)
    except DdsError as error:
        os.write(replies, REFUSED + f"{error}\n".encode())
    except Stopped:
        pass  # the caller is ending everybody


def _play_on(handover: Handover, replies: int) -> None:
    """Play until standard input ends."""
    program = handover.program
    loaded = load(program, engine(handover.engine, handover.runtime))
    segment = Segment(handover.segment, handover.slots, handover.logs)
    mailbox = SharedMailbox(segment, program.worker, parent=handover.parent)
    log = segment.logs[program.worker]
    gc.freeze()  # what is loaded stays: no search of it for garbage in the middle of a play
    os.write(replies, READY)
    while os.read(0, 1) == PLAY:
        feeds = {part.tensor: mailbox.receive(part, CALLER) for part in program.inputs}
        outputs = loaded.play(feeds, mailbox, log)
        for part in program.outputs:
            mailbox.send(part, CALLER, outputs[part.tensor])
        mailbox.finish()
        os.write(replies, DONE)


if __name__ == "__main__":
    _main()
