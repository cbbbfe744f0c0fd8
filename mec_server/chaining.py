"""Two parts of a model in a row: the first runs here, the next at the server's upstream.

Tensors are told apart by name.  Whatever the next part reads comes from the first part's outputs
or, for what only passes through, from the request; the client is answered from both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from dds.errors import InvalidInput
from mec_server.executor import Execution

__all__ = ["Boundary", "Chained", "Next", "Route", "route"]

Tensors = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Boundary:
    """The names of the tensors that a part reads and returns."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class Next(Protocol):
    """The server behind this one; its calls raise UpstreamFailed."""

    async def boundary(self, lease: str, digest: str, *, timeout: float) -> Boundary:
        """What a model of the lease reads and returns there."""
        ...

    async def infer(
        self, lease: str, digest: str, inputs: Tensors, wanted: tuple[str, ...], *, timeout: float
    ) -> Execution:
        """Run it there; `wanted` outputs only, or all."""
        ...


@dataclass(frozen=True, slots=True)
class Chained:
    """Both parts have run.

    outputs: what the client is answered; own, then: this server's part, and the next one;
    network: what the call to the upstream took on top of ``then.wall``, s.
    """

    outputs: dict[str, NDArray[Any]]
    own: Execution
    then: Execution
    network: float

    @property
    def seconds(self) -> dict[str, float]:
        """The times of the own part by name, and those of the next with ``then_`` before."""
        then = {f"then_{name}": value for name, value in self.then.seconds.items()}
        return self.own.seconds | then | {"then_network": self.network}


@dataclass(frozen=True, slots=True)
class Route:
    """Which tensor goes where.

    own_inputs: of the request, for the own part; passing: of the request, for the next part;
    handed: of the own part's outputs, for the next; answered: what the client gets;
    asked: those of them that the next part makes.
    """

    own_inputs: tuple[str, ...]
    passing: tuple[str, ...]
    handed: tuple[str, ...]
    answered: tuple[str, ...]
    asked: tuple[str, ...]

    def own_feeds(self, inputs: Tensors) -> dict[str, NDArray[Any]]:
        """What the own part is fed, out of the request's inputs."""
        return {name: inputs[name] for name in self.own_inputs}

    def then_feeds(self, inputs: Tensors, own: Tensors) -> dict[str, NDArray[Any]]:
        """What the next part is fed, out of the request's inputs and the own part's outputs."""
        return {name: inputs[name] for name in self.passing} | {
            name: own[name] for name in self.handed
        }

    def answer(self, own: Tensors, then: Tensors) -> dict[str, NDArray[Any]]:
        """What the client gets, out of both parts' outputs."""
        return {name: then[name] if name in self.asked else own[name] for name in self.answered}


def route(
    own: Boundary, following: Boundary, inputs: Iterable[str], wanted: tuple[str, ...]
) -> Route:
    """Where the tensors of a request go.

    own, following: the two parts; inputs: names in the request; wanted: the outputs it asks for,
    none for all that the next part returns and what of the own outputs it does not read.  What
    the own part makes is taken from there, even if the other has a tensor of that name.

    Raises InvalidInput naming an input that neither part reads, one that the next part lacks, and
    an output that neither makes.
    """
    given = set(inputs)
    handed = tuple(name for name in following.inputs if name in own.outputs)
    passing = tuple(name for name in following.inputs if name not in own.outputs)
    for name in passing:
        if name not in given:
            raise InvalidInput(
                f"input {name!r} is missing: the next part reads it, and this part does not make "
                "it; send it along"
            )
    for name in sorted(given.difference(own.inputs, passing)):
        raise InvalidInput(f"input {name!r} is read by neither part; leave it out")
    made = {*own.outputs, *following.outputs}
    for name in wanted:
        if name not in made:
            raise InvalidInput(f"output {name!r} is not one of the two parts': {sorted(made)}")
    kept = [name for name in own.outputs if name not in following.inputs]
    answered = tuple(dict.fromkeys(wanted or (*kept, *following.outputs)))
    return Route(
        # Those that are not there are for the check of the own part's inputs to name.
        own_inputs=tuple(name for name in own.inputs if name in given),
        passing=passing,
        handed=handed,
        answered=answered,
        asked=tuple(name for name in answered if name not in own.outputs),
    )
