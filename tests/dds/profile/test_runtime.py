from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from dds.errors import InvalidInput
from dds.model import load_model, zoo
from dds.model.graph import ModelGraph, Tensor
from dds.profile.runtime import (
    OPTIMISATIONS,
    Runtime,
    open_session,
    platform_fingerprint,
    random_inputs,
    run,
)
from dds.profile.weights import lend_weights, node_number


@pytest.mark.parametrize("optimisation", list(OPTIMISATIONS))
@pytest.mark.parametrize("name", ["squeezenet", "shufflenet"])
def test_a_model_with_lent_weights_computes_the_same(name: str, optimisation: str) -> None:
    data = zoo.build(name)
    inputs = random_inputs(load_model(data), np.random.default_rng(1))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    plain = onnxruntime.InferenceSession(data, options).run(None, inputs)
    outputs, cpu = run(open_session(data, Runtime(1, optimisation)), inputs)
    assert cpu > 0.0
    for ours, theirs in zip(outputs.values(), plain, strict=True):
        assert np.allclose(ours, theirs, rtol=1e-5, atol=1e-7)


def test_the_large_weights_are_lent_in_place() -> None:
    data = zoo.build("squeezenet")
    shell, weights = lend_weights(data)
    assert sum(weight.nbytes for weight in weights.values()) > 0.9 * len(data)
    assert len(shell) < 0.1 * len(data)
    whole = np.frombuffer(data, np.uint8)
    assert all(np.shares_memory(weight, whole) for weight in weights.values())


@pytest.mark.parametrize("optimisation", list(OPTIMISATIONS))
def test_constants_are_not_computed_while_a_model_is_loaded(
    optimisation: str, tmp_path: Path
) -> None:
    # With a larger size these few bytes ask for any amount of memory.
    size = numpy_helper.from_array(np.array([4], np.int64), "size")
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("ConstantOfShape", ["size"], ["zeros"]),
         helper.make_node("Add", ["x", "zeros"], ["y"])],
        "bomb",
        [value("x", TensorProto.FLOAT, [4])],
        [value("y", TensorProto.FLOAT, [4])],
        [size],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "graph.onnx"
    session = open_session(model.SerializeToString(), Runtime(1, optimisation), optimised=path)
    kinds = [node.op_type for node in onnx.load(path, load_external_data=False).graph.node]
    assert kinds == ["ConstantOfShape", "Add"]
    outputs, _ = run(session, {"x": np.ones(4, np.float32)})
    assert np.array_equal(outputs["y"], np.ones(4))


def test_the_optimised_graph_is_written_without_its_weights(tmp_path: Path) -> None:
    data = zoo.build("squeezenet")
    open_session(data, optimised=tmp_path / "graph.onnx")
    optimised = onnx.load(tmp_path / "graph.onnx", load_external_data=False)
    assert (tmp_path / "graph.onnx").stat().st_size < 0.01 * len(data)
    # Blocked convolutions are called after what they produce, the others as the shell calls them.
    numbers = {node_number(node.name) for node in optimised.graph.node}
    assert numbers - {-1} <= set(range(66))


@pytest.mark.parametrize(
    ("name", "number"), [("17:Conv_3", 17), ("0:", 0), ("r2_nchwc", -1), ("x:1", -1), ("", -1)]
)
def test_nodes_are_known_by_their_number(name: str, number: int) -> None:
    assert node_number(name) == number


@pytest.mark.parametrize(
    ("make", "complaint"),
    [(lambda: Runtime(0), "threads is 0"), (lambda: Runtime(1, "most"), "none, basic, extended")],
)
def test_a_runtime_that_there_is_not_is_refused(make, complaint: str) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        make()


def test_two_sessions_of_one_model_agree_bit_for_bit() -> None:
    data = zoo.build("shufflenet")
    inputs = random_inputs(load_model(data), np.random.default_rng(2))
    (first, _), (second, _) = (run(open_session(data), inputs) for _ in range(2))
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_a_failing_run_is_the_callers_fault() -> None:
    session = open_session(zoo.build("shufflenet"))
    with pytest.raises(InvalidInput, match="onnxruntime cannot run"):
        run(session, {session.get_inputs()[0].name: np.zeros(3, np.float32)})


def test_the_platform_names_cpu_runtime_and_threads() -> None:
    two = platform_fingerprint(Runtime(threads=2))
    assert f"onnxruntime {onnxruntime.__version__}, 2 threads" in two
    assert platform_fingerprint() != two
    assert platform_fingerprint().endswith("1 thread, optimisation all")
    assert platform_fingerprint(Runtime(optimisation="none")).endswith("optimisation none")


def test_random_inputs_fit_the_graph() -> None:
    graph = load_model(zoo.topology("squeezenet"))
    (array,) = random_inputs(graph, np.random.default_rng(0)).values()
    assert array.shape == graph.tensors[graph.inputs[0]].shape
    assert array.dtype == np.float32


@pytest.mark.parametrize("threads", [1, 2])
def test_time_is_the_threads_own_only_where_it_is_alone(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = zoo.build("shufflenet")
    inputs = random_inputs(load_model(data), np.random.default_rng(0))
    session = open_session(data, Runtime(threads))
    clocks = {"thread_time": 1.0, "perf_counter": 2.0}
    for name, step in clocks.items():
        ticks = iter([0.0, step])
        monkeypatch.setattr(f"dds.profile.runtime.time.{name}", lambda ticks=ticks: next(ticks))
    assert run(session, inputs)[1] == float(threads)


def test_inputs_of_a_type_that_numpy_lacks_are_refused() -> None:
    tensors = (Tensor("x", (2,), "float8e4m3fn", 2),)
    graph = ModelGraph((), tensors, (0,), (0,))
    with pytest.raises(InvalidInput, match="'x' is of type float8e4m3fn, which numpy"):
        random_inputs(graph, np.random.default_rng(0))


@pytest.mark.parametrize("threads", [-1, 0, 1025, 2**40])
def test_threads_are_as_many_as_a_machine_may_have(threads: int) -> None:
    with pytest.raises(InvalidInput, match="need 1 to 1024"):
        Runtime(threads)
