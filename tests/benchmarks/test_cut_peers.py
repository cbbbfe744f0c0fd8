"""The peers of the frontier's benchmark solve the problem that DDS solves."""

import pytest
from cut_peers import PEERS, PlainNetwork, peers
from frontier import exponents
from measuring import Spread
from models import residual, transformer, zoo

from dds.costs import DEVICES, Link, operator_times
from dds.cut import min_cut

GRAPHS = {
    "zfnet512": zoo("zfnet512"),
    "residual": residual(42),
    "transformer": transformer(40),
}


@pytest.mark.parametrize("uplink", [1e6, 2e7])
@pytest.mark.parametrize("name", GRAPHS)
def test_their_cut_is_as_long_as_ours(name: str, uplink: float) -> None:
    graph = GRAPHS[name]
    local = operator_times(graph, DEVICES["phone"])
    work = operator_times(graph, DEVICES["edge-core"])
    link = Link(uplink, 2.0 * uplink)
    least = min_cut(graph, local, work, link, 1.0).latency(1.0)
    plain = PlainNetwork(graph)
    seconds = plain.seconds(local, work, link).sum()
    solve, whole = PEERS["networkx"].calls(plain, local, work, link)
    for call in (solve, whole):
        value, _ = call.run(*call.prepare())  # type: ignore[misc]
        assert value / 2**60 * seconds == pytest.approx(least, rel=1e-12)
    solve, _ = PEERS["scipy"].calls(plain, local, work, link)
    flow = solve.run(*solve.prepare()).flow_value  # type: ignore[attr-defined]
    assert flow / 2**30 * seconds == pytest.approx(least, rel=1e-5)


def test_peers_are_those_that_can_be_imported() -> None:
    assert {"networkx", "scipy"} <= set(peers()) <= set(PEERS)


@pytest.mark.parametrize("operators", [100, 300, 1500])
def test_models_grow_to_the_size_asked_for(operators: int) -> None:
    assert len(residual(operators).operators) == operators
    assert len(transformer(operators).operators) == pytest.approx(operators, abs=19)


def test_the_exponent_of_a_power_law() -> None:
    rows = [
        {"operators": n, "seconds": {"call": Spread(3.0 * n**1.5, 0.0, 0.0)}}
        for n in (10, 100, 1000)
    ]
    assert exponents(rows)["call"] == pytest.approx(1.5)
    assert exponents(rows[:2]) == {}
