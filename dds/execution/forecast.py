"""How long programs take before they are played: each step in turn, waiting where it must."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from dds.errors import InternalError
from dds.model.graph import ModelGraph
from dds.parallel.program import Compute, Part, Program, Receive, Send
from dds.parallel.tiles import region_bytes
from dds.parallel.workers import WorkerLinks

__all__ = ["forecast"]


def forecast(
    graph: ModelGraph,
    programs: Sequence[Program],
    seconds: Callable[[Compute], float],
    links: WorkerLinks,
) -> float:
    """When the last worker has done its last step, s.

    seconds: what a step takes; links: a send of D bytes keeps its *sender*
    for ``message + D / bandwidth``, as it does where sending is copying into shared memory; then
    they are there.  What the caller feeds and takes back is copied likewise.

    Raises InternalError for programs that wait for each other for ever.
    """
    number = {tensor.name: t for t, tensor in enumerate(graph.tensors)}
    rates = links.rates(len(programs))

    def copying(parts: Sequence[Part], rate: float) -> float:
        return sum(region_bytes(graph, number[p.tensor], p.region) for p in parts) / rate

    now = [copying(p.inputs, float(rates[p.worker, p.worker])) for p in programs]
    left = [deque(program.steps) for program in programs]
    posted: dict[tuple[Part, int, int], float] = {}
    moved = True
    while moved:
        moved = False
        for k, steps in enumerate(left):
            while steps:
                match steps[0]:
                    case Compute() as step:
                        now[k] += seconds(step)
                    case Send(part=part, receiver=receiver):
                        now[k] += links.message + copying([part], float(rates[k, receiver]))
                        posted[part, k, receiver] = now[k]
                    case Receive(part=part, sender=sender):
                        if (part, sender, k) not in posted:
                            break
                        now[k] = max(now[k], posted[part, sender, k])
                steps.popleft()
                moved = True
    if any(left):
        raise InternalError("the programs wait for each other; they are not of one schedule")
    for program in programs:
        now[program.worker] += copying(program.outputs, float(rates[0, 0]))
    return max(now)
