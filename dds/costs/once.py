"""What depends on a model graph alone, worked out once for each graph."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import wraps
from typing import TypeVar

from dds.model.graph import ModelGraph

__all__ = ["once_per_graph"]

T = TypeVar("T")


def once_per_graph(build: Callable[[ModelGraph], T]) -> Callable[[ModelGraph], T]:
    """Keep what ``build`` returns for a graph object for as long as the object lives.

    By identity: hashing a graph by value would cost more than most questions to it.
    """
    kept: dict[int, tuple[weakref.ref[ModelGraph], T]] = {}

    @wraps(build)
    def known(graph: ModelGraph) -> T:
        key = id(graph)
        found = kept.get(key)
        if found is not None and found[0]() is graph:
            return found[1]
        built = build(graph)
        kept[key] = (weakref.ref(graph, lambda _: kept.pop(key, None)), built)
        return built

    return known
