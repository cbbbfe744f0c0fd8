"""Kernels matched to operators: by hand, on the zoo, and on the models onnx is tested with."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx.backend.test.case.test_case import TestCase

from dds.errors import InternalError, InvalidInput
from dds.model import load_model, zoo
from dds.model.fusion import Fusion
from dds.model.graph import ModelGraph, Operator, Tensor
from dds.profile.kernels import Kernels, kernel_seconds, match, profiler_events, read_kernels
from dds.profile.runtime import OPTIMISATIONS, Runtime, open_session, random_inputs


def chain(*kinds: str) -> ModelGraph:
    """Operators one after another; operator k reads tensor tk and is node k of the model."""
    tensors = tuple(Tensor(f"t{k}", (1,), "float32", 4) for k in range(len(kinds) + 1))
    operators = tuple(
        Operator(f"op{k}", kind, (k,), (k + 1,), node=k) for k, kind in enumerate(kinds)
    )
    return ModelGraph(operators, tensors, (0,), (len(kinds),))


def kernels(*nodes: onnx.NodeProto) -> onnx.GraphProto:
    return onnx.GraphProto(node=nodes)


node = helper.make_node


def groups_of(found: Kernels) -> list[tuple[int, ...]]:
    return list(found.fusion.groups)


def test_nothing_fused_is_one_kernel_per_operator() -> None:
    found = match(
        chain("Conv", "Relu"),
        kernels(node("Conv", ["t0"], ["t1"], name="0:a"), node("Relu", ["t1"], ["t2"], name="1:")),
    )
    assert groups_of(found) == [(0,), (1,)]
    assert found.group == {"0:a": 0, "1:": 1}


def test_a_fused_kernel_has_the_name_of_its_first_and_the_output_of_its_last() -> None:
    found = match(
        chain("Conv", "BatchNormalization", "Relu", "Tanh"),
        kernels(
            node("FusedConv", ["t0"], ["t3"], name="0:conv"),
            node("Tanh", ["t3"], ["t4"], name="3:tanh"),
        ),
    )
    assert groups_of(found) == [(0, 1, 2), (3,)]


def test_a_blocked_kernel_is_called_after_a_tensor_and_counts_its_reordering() -> None:
    found = match(
        chain("Conv", "Relu", "LRN", "MaxPool"),
        kernels(
            node("Conv", ["t0"], ["r0"], name="t2_nchwc", activation="Relu"),
            node("ReorderOutput", ["r0"], ["t2"], name="ReorderOutput"),
            node("LRN", ["t2"], ["t3"], name="2:lrn"),
            node("ReorderInput", ["t3"], ["r1"], name="ReorderInput_token_7"),
            node("MaxPool", ["r1"], ["r2"], name="t4_nchwc_token_9"),
            node("ReorderOutput", ["r2"], ["t4"], name="ReorderOutput_token_1"),
        ),
    )
    assert groups_of(found) == [(0, 1), (2,), (3,)]
    assert list(found.group.values()) == [0, 0, 1, 2, 2, 2]
    assert found.counts() == [2, 1, 3]


def test_a_blocked_convolution_takes_in_an_addition_and_an_activation() -> None:
    tensors = tuple(Tensor(f"t{k}", (1,), "float32", 4) for k in range(6))
    graph = ModelGraph(
        (
            Operator("a", "MaxPool", (0,), (1,), node=0),
            Operator("b", "Conv", (1,), (2,), node=1),
            Operator("c", "Add", (1, 2), (3,), node=2),
            Operator("d", "Relu", (3,), (4,), node=3),
            Operator("e", "BatchNormalization", (4,), (5,), node=4),
        ),
        tensors,
        (0,),
        (5,),
    )
    found = match(
        graph,
        kernels(
            node("MaxPool", ["t0"], ["r0"], name="t1_nchwc"),
            node("Conv", ["r0", "w", "b", "r0"], ["r1"], name="t2_nchwc", activation="Relu"),
            node("Conv", ["r1"], ["r2"], name="t5_bn_nchwc"),
            node("ReorderOutput", ["r2"], ["t5"], name="ReorderOutput"),
        ),
    )
    assert groups_of(found) == [(0,), (1, 2, 3), (4,)]


def test_an_operator_that_is_optimised_away_joins_whoever_reads_it_or_makes_it() -> None:
    tensors = tuple(Tensor(f"t{k}", (1,), "float32", 4) for k in range(6))
    graph = ModelGraph(
        (
            Operator("a", "Relu", (0,), (1,), node=0),
            Operator("gone", "Identity", (1,), (2,), node=1),
            Operator("b", "Tanh", (2,), (3,), node=2),
            Operator("lost", "Dropout", (3,), (4,), node=3),
            Operator("c", "Exp", (4,), (5,), node=4),
            ),
        tensors,
        (0,),
        (2, 5),
    )  # fmt: skip
    found = match(
        graph,
        kernels(
            node("Relu", ["t0"], ["t2"], name="0:"),
            node("Tanh", ["t2"], ["t3"], name="2:"),
            node("Exp", ["t3"], ["t5"], name="4:"),
        ),
    )
    assert groups_of(found) == [(0, 1), (2,), (3, 4)]


def event(name: str, ts: int, dur: int) -> dict[str, object]:
    return {"name": f"{name}_kernel_time", "ts": ts, "dur": dur}


TWO = Kernels(Fusion(((0,), (1,))), {"0:Loop": 0, "1:Relu": 1, "2:Shape": -1})


def test_kernels_inside_a_control_flow_operator_are_part_of_it() -> None:
    events = [
        event("0:Loop", 0, 100),
        event("", 0, 20),
        event("1:Relu", 30, 20),
        event("1:Relu", 100, 5),
        event("2:Shape", 105, 5),
        {"name": "model_run", "ts": 0, "dur": 110},
    ]
    assert kernel_seconds(events, TWO, 1) == pytest.approx(np.array([[100e-6, 5e-6]]))


def test_tensors_may_have_names_that_look_like_ours() -> None:
    names = ("x", "1:a", "0:b\n_nchwc")
    tensors = tuple(Tensor(name, (1,), "float32", 4) for name in names)
    operators = tuple(Operator(f"op{k}", "Conv", (k,), (k + 1,), node=k) for k in range(2))
    graph = ModelGraph(operators, tensors, (0,), (2,))
    blocked = {"domain": "com.microsoft.nchwc"}
    found = match(
        graph,
        kernels(
            node("Conv", ["x"], ["r0"], name="1:a_nchwc", **blocked),
            node("Conv", ["r0"], ["r1"], name="0:b\n_nchwc_nchwc_token_3", **blocked),
            node("ReorderOutput", ["r1"], [names[2]], name="ReorderOutput_token_4", **blocked),
        ),
    )
    assert groups_of(found) == [(0,), (1,)]
    assert list(found.group.values()) == [0, 1, 1]


def test_kernels_without_a_name_are_told_apart_by_their_number() -> None:
    found = match(
        chain("Exp", "Mine", "Abs"),
        kernels(
            node("Exp", ["t0"], ["t1"], name="0:"),
            node("Cast", ["t1"], ["inner"]),
            node("Cast", ["inner"], ["t2"]),
            node("Abs", ["t2"], ["t3"], name="2:"),
        ),
    )
    assert found.unnamed == {"Cast": [1, 1]}
    assert found.counts() == [1, 2, 1]
    events = [
        event("0:", 0, 1),
        event("Cast_12", 1, 2),
        event("Cast_7", 3, 4),
        event("2:", 7, 8),
    ]
    assert kernel_seconds(events, found, 1) == pytest.approx(np.array([[1e-6, 6e-6, 8e-6]]))
    with pytest.raises(InternalError, match="3 kernels Cast without a name"):
        found.of(["Cast_1", "Cast_2", "Cast_3"])


@pytest.mark.parametrize(
    ("events", "complaint"),
    [
        ([event("7:Relu", 0, 5)], "'7:Relu' is not in the optimised graph"),
        ([event("1:Relu", 0, 5), event("1:Relu", 9, 5)], "ran 2 times in 1 runs"),
    ],
)
def test_events_of_another_model_are_a_defect(
    events: list[dict[str, object]], complaint: str
) -> None:
    with pytest.raises(InternalError, match=complaint):
        kernel_seconds(events, TWO, 1)


def matched(data: bytes, graph: ModelGraph, runtime: Runtime, folder: Path):
    """What onnxruntime makes of a model, and the seconds of two runs."""
    folder = Path(tempfile.mkdtemp(dir=folder))
    optimised = folder / "graph.onnx"
    session = open_session(data, runtime, profile=folder / "kernels", optimised=optimised)
    found = read_kernels(graph, optimised)
    inputs = random_inputs(graph, np.random.default_rng(0))
    for _ in range(2):
        session.run(None, inputs)
    return found, kernel_seconds(profiler_events(session), found, 2)


#: What optimisation "all" makes of each model, by kind; counted by hand in ResNet-50, whose 16
#: residual blocks end in a convolution that takes in the sum.  VGG-19 is AlexNet with many more
#: weights.
FUSED = {
    "alexnet": {"Conv+Relu": 5, "Gemm+Relu": 1, "Dropout+Gemm+Relu": 1, "Dropout+Gemm": 1},
    "densenet121": {"Conv+BatchNormalization+Mul+Add+Relu": 59},
    "inception_v1": {"Conv+Relu": 57, "Dropout+Reshape": 1},
    "inception_v2": {"Conv+BatchNormalization+Mul+Add+Relu": 69},
    "resnet50": {
        "Conv+BatchNormalization+Relu": 33,
        "Conv+BatchNormalization+Sum+Relu": 16,
        "Conv+BatchNormalization": 4,
    },
    "shufflenet": {"Conv+BatchNormalization+Relu": 17, "Conv+BatchNormalization": 32},
    "squeezenet": {"Conv+Relu": 25, "Dropout+Conv+Relu": 1},
    "zfnet512": {"Conv+Relu": 5, "Gemm+Relu": 2},
}


@pytest.mark.parametrize("name", FUSED)
def test_every_kernel_of_a_real_model_finds_its_group(name: str, tmp_path: Path) -> None:
    data = zoo.build(name)
    graph = load_model(data)
    found, seconds = matched(data, graph, Runtime(), tmp_path)
    kinds = [operator.kind for operator in found.fusion.fused(graph).operators]
    assert {kind: kinds.count(kind) for kind in kinds if "+" in kind} == FUSED[name]
    # A group for every kernel, and a kernel for every group.
    assert set(found.group.values()) == set(range(len(found.fusion.groups)))
    assert seconds.shape == (2, len(found.fusion.groups))


@pytest.mark.parametrize("optimisation", OPTIMISATIONS)
def test_kernels_of_the_generated_models_find_their_groups(
    optimisation: str, distinct: Callable[[int], list[TestCase]], tmp_path: Path
) -> None:
    measured = groups = operators = 0
    for case in distinct(2):
        data = case.model.SerializeToString()
        try:
            graph = load_model(data)
            found, _ = matched(data, graph, Runtime(1, optimisation), tmp_path)
        except InvalidInput:
            # A value without a fixed size, or a kernel that onnxruntime lacks.
            continue
        found.fusion.fused(graph)  # which checks that the groups are convex
        measured += 1
        groups += len(found.fusion.groups)
        operators += len(graph.operators)
    assert measured >= 110
    # Without optimisation only the casts around half precision, which some lack kernels for, join.
    share = groups / operators
    assert share > 0.98 if optimisation == "none" else 0.5 < share < 0.9
