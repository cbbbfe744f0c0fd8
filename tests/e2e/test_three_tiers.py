"""Device, edge and cloud as three processes: the client, a mec-server, and the one behind it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

#: Nobody waits for nearly ties: each tier is several times better at its stage than the others.
DEVICE, EDGE, CLOUD = "100", "20", "1"
EXACT = ("--optimise", "none")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Three stages: 786 kB in and 12 kB out, then 256 B out, then nothing but work."""
    rng = np.random.default_rng(0)

    def weight(name: str, *shape: int) -> Any:
        scale = 1.0 / np.sqrt(np.prod(shape[1:]))
        return numpy_helper.from_array(np.float32(rng.normal(0.0, scale, shape)), name)

    nodes = [
        helper.make_node("MaxPool", ["x"], ["small"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Conv", ["small", "w1"], ["a"], pads=[1] * 4),
        helper.make_node("Conv", ["a", "w2"], ["b"], pads=[1] * 4),
        helper.make_node("GlobalAveragePool", ["b"], ["tiny"]),
        helper.make_node("Reshape", ["tiny", "column"], ["c"]),
        helper.make_node("MatMul", ["c", "row"], ["m0"]),
    ]
    for k in range(16):
        nodes.append(helper.make_node("MatMul", [f"m{k}", "square"], [f"p{k}"]))
        nodes.append(helper.make_node("Tanh", [f"p{k}"], [f"m{k + 1}"]))
    nodes.append(helper.make_node("ReduceMean", ["m16"], ["y"], axes=[1], keepdims=0))
    weights = [
        *(weight("w1", 64, 3, 3, 3), weight("w2", 64, 64, 3, 3)),
        *(weight("row", 1, 512), weight("square", 512, 512)),
        numpy_helper.from_array(np.int64([64, 1]), "column"),
    ]
    graph = helper.make_graph(
        nodes,
        "stages",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 256, 256))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (64,))],
        weights,
    )
    made = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)])
    path = tmp_path_factory.mktemp("models") / "stages.onnx"
    path.write_bytes(made.SerializeToString())
    return str(path)


@pytest.fixture
def tiers(serve: Callable[..., Any]) -> Callable[..., tuple[str, str]]:
    """Start cloud and edge; their addresses, the edge's first."""

    def begin(price: str = "0.01") -> tuple[str, str]:
        flat = ("--tariff", "flat", "--capacity", "8", *EXACT)
        _, cloud = serve(*flat, "--price", price, "--core-slowdown", CLOUD)
        _, edge = serve(*flat, "--price", "0.01", "--core-slowdown", EDGE, "--upstream", cloud)
        return edge, cloud

    return begin


@pytest.fixture
def play(start: Callable[..., Any], model: str, cache: Path) -> Callable[..., Any]:
    """Start a client that may use all three."""

    def begin(edge: str, *flags: str) -> Any:
        return start(
            *("clients", "--json", "--server", edge, "--name", "cam", "--model", model),
            *("--device-slowdown", DEVICE, "--value-of-time", "10", "--max-share", "1", *EXACT),
            *("--rtt", "4ms", "--tiers", "--cloud-share", "1", "--cache", str(cache), *flags),
        )

    return begin


#: Inferences over a trace, and a round trip that spreads them over it on any machine.
MANY, FAR_AWAY = 40, ("--rtt", "100ms")
STEADY = ("--uplink", "8", "--downlink", "8")
SLOW_HOP = ("--edge-cloud-uplink", "0.4", "--edge-cloud-downlink", "0.4", "--edge-cloud-rtt", "6ms")
FAST_HOP = ("--edge-cloud-uplink", "1000", "--edge-cloud-downlink", "1000")


def operators(told: list[dict[str, Any]]) -> tuple[int, int, int]:
    """Operators on device, edge and cloud after the game."""
    (cut,) = [event["cut"] for event in told if event["event"] == "allocated"]
    return tuple(cut[f"operators_on_{tier}"] for tier in ("device", "edge", "cloud"))


def result(told: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = told[-1]["strategies"]["dds"]
    return found


def test_all_three_tiers_compute_what_the_whole_model_does(tiers: Any, play: Any) -> None:
    edge, _ = tiers()
    told = play(edge, *STEADY, *SLOW_HOP, "--inferences", "4").until("done")
    assert operators(told) == (1, 3, 35)
    assert result(told)["max_abs_difference"] == 0.0
    assert result(told)["outputs_match"]
    for event in told:
        if event["event"] == "inference":
            parts = [event[f"{name}_s"] for name in ("device", "network", "server", "hop", "cloud")]
            assert all(part > 0.0 for part in parts)
            assert sum(parts) <= event["latency_s"] + 1e-3
            # 256 B up and down at 50 kB/s, and a round trip of 6 ms.
            assert event["hop_s"] >= 0.006 + 512 / 50e3
            assert event["server_cpu_s"] > 0.0
            assert event["cloud_cpu_s"] > 0.0


def test_an_idle_edge_only_passes_on(tiers: Any, play: Any) -> None:
    edge, _ = tiers()
    told = play(edge, *STEADY, *FAST_HOP).until("done")
    assert operators(told) == (1, 0, 38)
    assert result(told)["max_abs_difference"] == 0.0
    (bought,) = [event for event in told if event["event"] == "allocated"]
    assert bought["share"] == 0.0
    assert not bought["cut"]["direct"]


def test_a_cloud_that_costs_too_much_stays_idle(tiers: Any, play: Any) -> None:
    edge, _ = tiers(price="10000")
    told = play(edge, *STEADY, *FAST_HOP).until("done")
    device, on_edge, on_cloud = operators(told)
    assert (device, on_cloud) == (1, 0)
    assert on_edge == 38
    assert result(told)["max_abs_difference"] == 0.0
    # It was bought to learn what it costs, and given back.
    assert [event["share"] for event in told if event["event"] == "cloud"] == [1.0, 0.0]


def test_the_cloud_can_be_reached_past_the_edge(tiers: Any, play: Any) -> None:
    edge, cloud = tiers()
    told = play(edge, *STEADY, *SLOW_HOP, "--cloud", cloud, "--cloud-rtt", "8ms").until("done")
    (bought,) = [event for event in told if event["event"] == "allocated"]
    assert bought["cut"]["direct"]
    assert operators(told) == (1, 0, 38)
    assert result(told)["max_abs_difference"] == 0.0
    assert all(e["hop_s"] == 0.0 for e in told if e["event"] == "inference")


def test_cloud_only_keeps_nothing_on_device_or_edge(tiers: Any, play: Any) -> None:
    edge, _ = tiers()
    flags = ("--strategy", "cloud-only", "--inferences", "2")
    told = play(edge, *STEADY, *FAST_HOP, *flags).until("done")
    assert operators(told) == (0, 0, 39)
    baseline = told[-1]["strategies"]["cloud-only"]
    assert baseline["max_abs_difference"] == 0.0
    assert len(baseline["measured_latency_s"]) == 2


def test_a_link_that_drops_changes_the_cut_and_no_inference_fails(
    tiers: Any, play: Any, tmp_path: Path
) -> None:
    edge, _ = tiers()
    trace = tmp_path / "drop.csv"
    # For six seconds, 12 kB would take four.
    trace.write_text("time_s,mbps\n0,8\n1,0.025\n7,8\n30,8\n")
    told = play(
        edge, "--trace", str(trace), *FAR_AWAY, *SLOW_HOP, "--inferences", str(MANY), "--one-game"
    ).until("done")
    inferences = [event for event in told if event["event"] == "inference"]
    assert [event["index"] for event in inferences] == list(range(MANY))
    assert result(told)["max_abs_difference"] == 0.0
    recuts = [event for event in told if event["event"] == "recut"]
    kept = [event["after"]["operators_on_device"] for event in recuts]
    # To where 256 B cross, and back.
    assert recuts[0]["before"]["operators_on_device"] == 1
    assert kept[0] >= 4
    assert 1 in kept[1:]
    assert all(event["because"] == "link" for event in recuts)
    assert all(event["microseconds"] > 0.0 for event in recuts)


def test_two_tiers_follow_a_trace_as_well(
    serve: Any, start: Any, model: str, cache: Path, tmp_path: Path
) -> None:
    flat = ("--tariff", "flat", "--price", "0.01", "--capacity", "8", *EXACT)
    _, address = serve(*flat)
    trace = tmp_path / "drop.csv"
    trace.write_text("time_s,uplink_mbps,downlink_mbps\n0,8,8\n1,0.025,8\n7,8,8\n30,8,8\n")
    told = start(
        *("clients", "--json", "--server", address, "--model", model, "--device-slowdown", DEVICE),
        *("--value-of-time", "10", "--max-share", "1", "--trace", str(trace), *FAR_AWAY),
        *("--inferences", str(MANY), "--one-game", "--cache", str(cache), *EXACT),
    ).until("done")
    kept = [e["after"]["operators_on_device"] for e in told if e["event"] == "recut"]
    assert kept[0] >= 4
    assert 1 in kept[1:]
    assert sum(event["event"] == "inference" for event in told) == MANY
    assert result(told)["max_abs_difference"] == 0.0


class TestRefusals:
    def test_an_edge_without_a_cloud_behind_it(self, serve: Any, play: Any) -> None:
        _, edge = serve("--capacity", "1")
        client = play(edge, *STEADY)
        assert client.process.wait(60) == 2
        assert "no upstream" in client.process.stderr.read().splitlines()[-1]

    @pytest.mark.parametrize(
        ("share", "says"), [("9", "sells 8 cores at most"), ("0.0005", "sells steps of 0.001")]
    )
    def test_a_share_that_is_not_for_sale(
        self, tiers: Any, play: Any, share: str, says: str
    ) -> None:
        edge, _ = tiers()
        client = play(edge, *STEADY, "--cloud-share", share)
        assert client.process.wait(60) == 2
        (line,) = client.process.stderr.read().splitlines()
        assert says in line
