"""What every worker does to carry a schedule out: one program for each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from dds.errors import InvalidInput
from dds.parallel.program_groups import Group, Parcel, groups_of, parcels_of
from dds.parallel.program_parts import supply
from dds.parallel.rewrite import Source
from dds.parallel.rewrite_compute import Held, jobs_model
from dds.parallel.schedule import Schedule
from dds.parallel.tiles import WHOLE, Region

__all__ = ["Compute", "Part", "Program", "Receive", "Send", "Step", "programs"]


@dataclass(frozen=True, slots=True)
class Part:
    """A region of a tensor of the whole model: what is held, sent and received.

    tensor: its name; region: WHOLE if it is all of it.
    """

    tensor: str
    region: Region


@dataclass(frozen=True, slots=True)
class Send:
    """Send `part` to a worker, by index, without waiting for it.

    within: the part the worker holds that `part` is, or is cut out of.
    """

    part: Part
    receiver: int
    within: Part


@dataclass(frozen=True, slots=True)
class Receive:
    """Wait for `part` from a worker, by index."""

    part: Part
    sender: int


@dataclass(frozen=True, slots=True)
class Compute:
    """Run a model.

    model: ONNX bytes; inputs, outputs: which part each of its inputs takes and each of its
    outputs makes, by name; tasks: positions in the schedule's tasks of what it computes.
    """

    model: bytes = field(repr=False)
    inputs: Mapping[str, Part]
    outputs: Mapping[str, Part]
    tasks: tuple[int, ...] = ()


Step = Send | Receive | Compute


@dataclass(frozen=True, slots=True)
class Program:
    """What one worker does, in order.

    inputs: what it is given (worker 0 the model's inputs, the others nothing); outputs: what it
    holds in the end and returns (worker 0 the model's outputs, the others nothing).
    """

    worker: int
    inputs: tuple[Part, ...]
    steps: tuple[Step, ...]
    outputs: tuple[Part, ...]


def programs(source: Source, schedule: Schedule, workers: int) -> tuple[Program, ...]:
    """One program for each worker, which together do what a schedule says.

    Tasks follow each other in the order of the schedule.  Consecutive tasks of a worker become
    one model, so that a runtime can fuse them, unless that would upset the schedule's times:

    - a task begins a new model if it reads a part that is received after the model before it
      starts: that would have to wait;
    - so it does if a part made in the model before it is sent before this task ends: that would
      be sent too late.

    What is received is waited for right before the model that reads it.  What is made is sent
    behind the last model that ends before the schedule sends it.

    No program waits for ever, whatever time things really take.  Proof: let p(G) be the place of
    a model's first task in the common order of :class:`~dds.parallel.program_parts.Supply`.  A
    model G that receives a part waits for a send that stands behind a model H with p(H) < p(G),
    or in front of all models of its worker: the maker of the part stands before G's first task
    (or a new model would have begun), so it is in a model with a smaller p, and no send is put
    behind a model whose p is not smaller than that of every model that reads it.  On one worker
    p grows from model to model, and sends do not wait.  So the model with the smallest p among
    those not done is not waiting for anything: it can be run, until all are done.

    Raises InvalidInput without workers, for a schedule that needs more of them, for one that is
    not of this model, and for a model that returns a constant.
    """
    if source.flow.constants:
        raise InvalidInput(
            f"output {source.flow.constants[0]!r} is the same for every input; take it out of the "
            "model's outputs"
        )
    needed = max((1, *_workers(schedule)))
    if needed > workers:
        raise InvalidInput(f"workers is {workers}; the schedule needs {needed}")
    found = supply(source, schedule)
    groups = groups_of(schedule, found, workers)
    parcels = parcels_of(groups)
    return tuple(
        _Writer(source, worker, own, found.slack).program(parcels)
        for worker, own in enumerate(groups)
    )


def _workers(schedule: Schedule) -> Iterator[int]:
    """How many workers each task and transfer needs there to be."""
    yield from (task.worker + 1 for task in schedule.tasks)
    yield from (max(sent.sender, sent.receiver) + 1 for sent in schedule.transfers)


class _Writer:
    """The program of one worker in the making."""

    def __init__(self, source: Source, worker: int, groups: Sequence[Group], slack: float) -> None:
        self.source = source
        self.worker = worker
        self.groups = groups
        self.slack = slack
        #: Which group makes what a task makes; none for what the model is given.
        self.home = {item.task: g for g, group in enumerate(groups) for item in group.items}
        #: What each group's model returns: what later groups need, or the caller; what is sent.
        self.returns: list[dict[Held, None]] = [{} for _ in groups]
        for g, group in enumerate(groups):
            for lot in group.lots():
                home = self.home.get(lot.maker, g) if lot.sender == worker else g
                if home != g:
                    self.returns[home][lot.tensor, lot.made] = None
            joined = (item.job().reads for item in group.items if item.tile is None)
            self.returns[g].update(dict.fromkeys((t, WHOLE) for reads in joined for t in reads))

    def program(self, parcels: Sequence[Parcel]) -> Program:
        """Of each group what it receives, its model, what is sent then."""
        first, *sends = self._sends(parcels)
        steps: list[Step] = [*first]
        had: set[Receive] = set()
        for group, returns, then in zip(self.groups, self.returns, sends, strict=True):
            waits = self._receives(group)
            steps += (wait for wait in waits if wait not in had)
            had.update(waits)
            if returns:
                steps.append(self._compute(group, returns))
            steps += then
        graph = self.source.graph
        inputs, outputs = (
            tuple(self._part((t, WHOLE)) for t in tensors if self.worker == 0)
            for tensors in (graph.inputs, graph.outputs)
        )
        return Program(self.worker, inputs, tuple(steps), outputs)

    def _sends(self, parcels: Sequence[Parcel]) -> list[list[Send]]:
        """What is sent before the first group and behind each, in order of departure.

        A part is cut out of what is kept anyway, or else inside the model that makes it.
        """
        sends: list[list[Send]] = [[] for _ in (None, *self.groups)]
        for lot, receiver, before in parcels:
            if lot.sender != self.worker:
                continue
            home = self.home.get(lot.maker, -1)
            held, made = (lot.tensor, lot.region), (lot.tensor, lot.made)
            kept = home < 0 or made in self.returns[home]
            if not kept:
                self.returns[home][held] = None
            behind = home + 1
            for group in self.groups[home + 1 :]:
                if group.end > lot.departs + self.slack or group.place >= before:
                    break
                behind += 1
            send = Send(self._part(held), receiver, self._part(made if kept else held))
            sends[behind].append(send)
        return sends

    def _receives(self, group: Group) -> list[Receive]:
        """What a group's model waits for, in order of arrival, each once."""
        come = (lot for lot in group.lots() if lot.sender != self.worker)
        ordered = sorted(come, key=lambda lot: lot.since)
        waits = (Receive(self._part((p.tensor, p.region)), p.sender) for p in ordered)
        return [*dict.fromkeys(waits)]

    def _compute(self, group: Group, returns: Iterable[Held]) -> Compute:
        """The model of a group."""
        done = jobs_model(self.source, [item.job() for item in group.items], returns)
        tasks = tuple(item.task for item in group.items if item.tile)
        inputs, outputs = (
            {name: self._part(held) for name, held in them.items()}
            for them in (done.inputs, done.outputs)
        )
        return Compute(done.model, inputs, outputs, tasks)

    def _part(self, held: Held) -> Part:
        t, region = held
        return Part(self.source.graph.tensors[t].name, region)
