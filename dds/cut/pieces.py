"""What a cut, a piece and a frontier are.

A *cut* puts a predecessor-closed set S of operators on the device and the rest
on the server.  A *piece* is a cut seen from the market: it costs
``T(f) = A + W / f`` seconds at a share of f cores.  A *frontier* holds every
piece that is best at some share.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

from dds.errors import InvalidInput

__all__ = ["Cut", "Frontier", "Piece"]


#: The fields of a cut, in their order.
CutFields: TypeAlias = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], int, int, float]


# Looked up once: these run for every piece of every frontier.
_new, _set = object.__new__, object.__setattr__


class _Late:
    """Room for a recipe of fields that are not worked out before somebody asks."""

    __slots__ = ("_recipe",)

    _recipe: tuple[Callable[..., CutFields], tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Cut(_Late):
    """Where each operator runs, and what crosses.

    on_device: operator indices S, ascending, closed under predecessors;
    uploads: tensors the device sends (each once, model inputs included), ascending;
    downloads: model outputs computed on the server, ascending;
    uplink_bytes, downlink_bytes: their bytes; local_time: L(S), s.
    """

    on_device: tuple[int, ...]
    uploads: tuple[int, ...]
    downloads: tuple[int, ...]
    uplink_bytes: int
    downlink_bytes: int
    local_time: float

    @classmethod
    def later(cls, recipe: Callable[..., CutFields], *of: Any) -> Cut:
        """A cut whose fields are ``recipe(*of)``, once one of them is asked for.

        Listing what a cut keeps and sends takes longer than finding it, and a market
        reads nothing of a piece but A and W.
        """
        cut = _new(cls)
        _set(cut, "_recipe", (recipe, of))
        return cut

    def __getattr__(self, name: str) -> Any:
        # Python comes here for an attribute that is not set: a field not worked out yet.
        names = self.__slots__
        if name not in names:
            raise AttributeError(f"a Cut has no {name!r}")
        recipe, of = self._recipe
        for key, value in zip(names, recipe(*of), strict=True):
            _set(self, key, value)
        return object.__getattribute__(self, name)

    @property
    def crossing_bytes(self) -> int:
        """D(S): bytes that cross in both directions."""
        return self.uplink_bytes + self.downlink_bytes


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece ``T(f) = base_latency + server_work / f`` of a frontier.

    base_latency: A, s; server_work: W, core s (0 exactly for local-only);
    cut: the cut behind it, None when the piece was given as plain numbers.
    """

    base_latency: float
    server_work: float
    cut: Cut | None = None

    def latency(self, share: float) -> float:
        """T(f) = A + W / f in seconds; infinite when W > 0 and the share is 0."""
        if self.server_work == 0.0:
            return self.base_latency
        return self.base_latency + (self.server_work / share if share > 0.0 else math.inf)


@dataclass(frozen=True)
class Frontier:
    """The pieces a client can choose from, and ``T(f) = min over pieces of A + W / f``.

    pieces: any order when given as plain numbers; from :func:`dds.frontier` by
    rising base latency and falling server work, local-only last.  At most one
    piece has W = 0: it is local-only, and buys no share.  Without one the client
    must offload.

    Raises InvalidInput for an empty list, a number that is negative or not
    finite, or a second piece with W = 0.
    """

    pieces: tuple[Piece, ...]

    def __post_init__(self) -> None:
        if not self.pieces:
            raise InvalidInput("pieces: need at least one [base_latency_s, server_work_s]")
        free = 0
        for k, piece in enumerate(self.pieces):
            a, w = piece.base_latency, piece.server_work
            if not (0.0 <= a < math.inf and 0.0 <= w < math.inf):
                name, value = ("server_work_s", w) if 0.0 <= a < math.inf else ("base_latency_s", a)
                raise InvalidInput(f"pieces[{k}]: {name} is {value!r}; need a finite number >= 0")
            free += w == 0.0
            if free > 1:
                raise InvalidInput(
                    f"pieces[{k}]: a second piece with server_work_s 0; only local-only has none"
                )

    @classmethod
    def found(cls, pieces: tuple[Piece, ...]) -> Frontier:
        """A frontier of pieces that a search found: they need no checks."""
        frontier = _new(cls)
        _set(frontier, "pieces", pieces)
        return frontier

    @classmethod
    def from_points(cls, points: Iterable[tuple[float, float]]) -> Frontier:
        """A frontier from plain ``(base_latency_s, server_work_s)`` pairs."""
        return cls(tuple(Piece(float(a), float(w)) for a, w in points))

    def latency(self, share: float) -> float:
        """T(f) = min over pieces, in seconds, at a share of f cores."""
        return min(piece.latency(share) for piece in self.pieces)
