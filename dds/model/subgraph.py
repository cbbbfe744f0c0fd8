"""The part of a model that one side of a cut runs, as a graph of its own."""

from __future__ import annotations

from dataclasses import replace

from dds.errors import InvalidInput
from dds.model.graph import ModelGraph, Sides

__all__ = ["device_part"]


def device_part(graph: ModelGraph, cut: Sides) -> ModelGraph:
    """What a cut keeps on the device.

    Operator i is the graph's operator ``cut.on_device[i]`` (with ``node`` the same: the part can
    be read from the whole model's bytes); inputs are all of the model's, whether read or not;
    outputs are the tensors the part makes that the server reads or the model returns, ascending,
    as :func:`dds.model.split.split` has them.  Tensors that are left keep their order and names.

    Raises InvalidInput for an index out of range, twice or not ascending, and for a cut that is
    not closed under predecessors.

    >>> from types import SimpleNamespace
    >>> from dds.model.graph import Operator, Tensor
    >>> tensors = tuple(Tensor(name, (), "float32", 100) for name in "abc")
    >>> steps = (Operator("f", "F", (0,), (1,)), Operator("g", "G", (1,), (2,)))
    >>> chain = ModelGraph(steps, tensors, inputs=(0,), outputs=(2,))
    >>> part = device_part(chain, SimpleNamespace(on_device=(0,)))
    >>> [op.name for op in part.operators], [part.tensors[t].name for t in part.outputs]
    (['f'], ['b'])
    """
    kept = tuple(cut.on_device)
    if list(kept) != sorted({*kept} & {*range(len(graph.operators))}):
        raise InvalidInput(
            f"cut: on_device must list some of the {len(graph.operators)} operators, ascending "
            "and each once"
        )
    inside = set(kept)
    for v in kept:
        for u in graph.predecessors[v]:
            if u not in inside:
                raise InvalidInput(
                    f"cut: {graph.operators[v].name!r} on the device reads from "
                    f"{graph.operators[u].name!r} on the server; data never flows back"
                )
    returned = set(graph.outputs)
    made = [t for v in kept for t in graph.operators[v].outputs]
    out = sorted(t for t in made if t in returned or not inside.issuperset(graph.consumers[t]))
    place = {t: i for i, t in enumerate(sorted({*graph.inputs, *made}))}

    def placed(tensors: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(place[t] for t in tensors)

    return ModelGraph(
        tuple(
            replace(op, inputs=placed(op.inputs), outputs=placed(op.outputs))
            for op in (graph.operators[v] for v in kept)
        ),
        tuple(graph.tensors[t] for t in place),
        inputs=placed(graph.inputs),
        outputs=placed(tuple(out)),
        name=graph.name,
    )
