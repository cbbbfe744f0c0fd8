import numpy as np
import onnxruntime
import pytest

from dds.errors import InvalidInput
from dds.model import load_model, zoo
from dds.profile.runtime import open_session, platform_fingerprint, random_inputs, run
from dds.profile.weights import lend_weights


@pytest.mark.parametrize("name", ["squeezenet", "shufflenet"])
def test_a_model_with_lent_weights_computes_the_same(name: str) -> None:
    data = zoo.build(name)
    inputs = random_inputs(load_model(data), np.random.default_rng(1))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    plain = onnxruntime.InferenceSession(data, options).run(None, inputs)
    outputs, cpu = run(open_session(data), inputs)
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
    assert f"onnxruntime {onnxruntime.__version__}, 2 threads" in platform_fingerprint(2)
    assert platform_fingerprint() != platform_fingerprint(2)
    assert platform_fingerprint().endswith("1 thread")


def test_random_inputs_fit_the_graph() -> None:
    graph = load_model(zoo.topology("squeezenet"))
    (array,) = random_inputs(graph, np.random.default_rng(0)).values()
    assert array.shape == graph.tensors[graph.inputs[0]].shape
    assert array.dtype == np.float32
