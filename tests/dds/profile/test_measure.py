import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from dds.errors import InternalError, InvalidInput
from dds.model import load_model
from dds.model.graph import ModelGraph, Operator, Tensor
from dds.profile.measure import kernel_times, measure
from dds.profile.profile import RESOLUTION


def event(node: int, kind: str, ts: int, dur: int) -> dict[str, object]:
    args = {"node_index": str(node), "op_name": kind}
    return {"name": f"{kind}_kernel_time", "ts": ts, "dur": dur, "args": args}


def graph(*operators: tuple[str, int]) -> ModelGraph:
    """A chain of operators given as (kind, index of the ONNX node)."""
    tensors = tuple(Tensor(f"t{i}", (1,), "float32", 4) for i in range(len(operators) + 1))
    return ModelGraph(
        tuple(
            Operator(f"op{i}", kind, (i,), (i + 1,), node=node)
            for i, (kind, node) in enumerate(operators)
        ),
        tensors,
        (0,),
        (len(operators),),
    )


def test_kernels_find_their_operator_by_number_past_constants() -> None:
    events = [
        event(0, "Relu", 0, 10),
        event(1, "Exp", 10, 30),
        {"name": "model_run", "ts": 0, "dur": 99, "args": {}},
        event(0, "Relu", 100, 12),
        event(1, "Exp", 112, 28),
    ]
    times = kernel_times(events, ["Relu", "Constant", "Exp"], graph(("Relu", 0), ("Exp", 2)), 2)
    assert times == pytest.approx(np.array([[10e-6, 30e-6], [12e-6, 28e-6]]))


def test_kernels_inside_a_control_flow_operator_are_part_of_it() -> None:
    events = [
        event(0, "Loop", 0, 100),
        event(0, "Add", 0, 20),
        event(1, "Relu", 30, 20),
        event(1, "Relu", 100, 5),
    ]
    times = kernel_times(events, ["Loop", "Relu"], graph(("Loop", 0), ("Relu", 1)), 1)
    assert times == pytest.approx(np.array([[100e-6, 5e-6]]))


def test_an_inlined_function_takes_what_its_body_takes() -> None:
    events = [event(1, "Relu", 0, 5), event(2, "Exp", 5, 10), event(3, "Add", 15, 20)]
    times = kernel_times(events, ["Mine", "Relu"], graph(("Mine", 0), ("Relu", 1)), 1)
    assert times == pytest.approx(np.array([[30e-6, 5e-6]]))


@pytest.mark.parametrize(
    ("events", "complaint"),
    [
        ([event(0, "Exp", 0, 5)], "ran as Exp"),
        ([event(0, "Relu", 0, 5), event(0, "Relu", 9, 5)], "2 times in 1 runs"),
    ],
)
def test_events_of_another_model_are_a_defect(
    events: list[dict[str, object]], complaint: str
) -> None:
    with pytest.raises(InternalError, match=complaint):
        kernel_times(events, ["Relu"], graph(("Relu", 0)), 1)


def awkward_model() -> bytes:
    """Unnamed nodes, a Constant in between, a Loop with a body."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go_in"], ["go_out"], name="same"),
            helper.make_node("Add", ["carried", "carried"], ["doubled"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("step", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_in", TensorProto.BOOL, []),
            helper.make_tensor_value_info("carried", TensorProto.FLOAT, [64]),
        ],
        [
            helper.make_tensor_value_info("go_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("doubled", TensorProto.FLOAT, [64]),
        ],
    )
    three = helper.make_tensor("three", TensorProto.INT64, [], [3])
    yes = helper.make_tensor("yes", TensorProto.BOOL, [], [True])
    half = helper.make_tensor("half", TensorProto.FLOAT, [1], [0.5])
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Constant", [], ["c"], value=half),
        helper.make_node("Mul", ["a", "c"], ["b"]),
        helper.make_node("Loop", ["three", "yes", "b"], ["l"], body=body),
        helper.make_node("Tanh", ["l"], ["y"]),
    ]
    whole = helper.make_graph(
        nodes,
        "awkward",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [64])],
        [three, yes],
        value_info=[helper.make_tensor_value_info("l", TensorProto.FLOAT, [64])],
    )
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return bytes(model.SerializeToString())


def test_an_awkward_model_is_measured() -> None:
    data = awkward_model()
    model = load_model(data)
    told: list[tuple[int, int]] = []
    profile = measure(data, model, repeats=3, report=lambda done, of: told.append((done, of)))
    assert profile.digest == model.digest
    assert profile.operators == tuple(operator.name for operator in model.operators)
    assert all(seconds >= RESOLUTION for seconds in profile.seconds)
    assert profile.repeats == 3
    assert told == [(n, 6) for n in range(1, 7)]
    # The loop, which runs a body three times, is the longest of these.
    kinds = [operator.kind for operator in model.operators]
    assert kinds[int(np.argmax(profile.operator_times(model)))] == "Loop"


def test_times_sum_to_a_plain_run() -> None:
    from dds.model import zoo

    data = zoo.build("squeezenet")
    profile = measure(data, load_model(data), repeats=2)
    assert sum(profile.seconds) == pytest.approx(profile.whole, rel=1e-2)


def test_a_budget_ends_early_but_not_before_two_runs() -> None:
    data = awkward_model()
    assert measure(data, load_model(data), repeats=9, budget=0.0).repeats == 2


@pytest.mark.parametrize(("repeats", "threads"), [(0, 1), (1, 0)])
def test_numbers_out_of_range_are_refused(repeats: int, threads: int) -> None:
    data = awkward_model()
    with pytest.raises(InvalidInput, match="need at least 1"):
        measure(data, load_model(data), repeats=repeats, threads=threads)


def test_a_model_the_runtime_refuses_is_invalid_input() -> None:
    model = onnx.load_from_string(awkward_model())
    model.graph.node[4].domain = "nobody.knows"
    model.opset_import.append(helper.make_opsetid("nobody.knows", 1))
    with pytest.raises(InvalidInput, match="onnxruntime cannot load"):
        measure(model.SerializeToString(), load_model(awkward_model()))
