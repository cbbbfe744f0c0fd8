"""Tables of clients: the same clients as the objects, and one line for what no client may be."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dds.costs.device import DEVICES
from dds.costs.link import Link
from dds.cut.hull import CutHull, hull
from dds.cut.pieces import Frontier
from dds.cut.solver import frontier
from dds.errors import InvalidInput
from dds.market.client import Client
from dds.market.numbers import Floats
from dds.market.table import ClientTable
from dds.model import zoo
from dds.model.graph import ModelGraph
from dds.model.importer import load_model
from dds.testing import clients, graphs, operator_times

quick = settings(deadline=None, derandomize=True, max_examples=60)

COLUMNS = ("base", "work", "value", "low", "high", "local_base", "local_piece", "rate")


@st.composite
def crowds(draw: st.DrawFn, *, least: int = 0) -> list[Client]:
    """Some clients of different depth, names and rates."""
    count = draw(st.integers(least, 5))
    rates, bounds = st.sampled_from([1.0, 0.5, 20.0]), st.sampled_from([0.0, 0.25])
    return [
        replace(draw(clients(name=f"phone {i}")), rate=draw(rates), min_share=draw(bounds))
        for i in range(count)
    ]


def same(one: ClientTable, other: ClientTable) -> None:
    """Equal in every number, and in names."""
    for column in COLUMNS:
        np.testing.assert_array_equal(getattr(one, column), getattr(other, column), column)
    assert one.names == other.names


# --- from clients -------------------------------------------------------------------------------


@quick
@given(crowds())
def test_a_table_holds_the_clients_it_is_made_of(crowd: list[Client]) -> None:
    table = ClientTable.of(crowd)
    assert [table.client(i) for i in range(len(table))] == crowd
    assert table.depth == max((len(c.frontier.pieces) for c in crowd), default=0)
    same(ClientTable.of([table.client(i) for i in range(len(table))]), table)


@quick
@given(crowds(least=1), st.data())
def test_a_part_holds_the_clients_asked_for(crowd: list[Client], data: st.DataObject) -> None:
    table = ClientTable.of(crowd)
    rows = data.draw(st.lists(st.integers(0, len(crowd) - 1)))
    taken = table.take(np.array(rows, np.int64))
    wanted = [replace(crowd[row], name=f"client {i}") for i, row in enumerate(rows)]
    assert [taken.client(i) for i in range(len(taken))] == wanted
    start, stop = (data.draw(st.integers(0, len(crowd))) for _ in range(2))
    same(table.slice(slice(start, stop)), table.take(np.arange(start, max(start, stop))))


def test_a_slice_is_on_the_same_memory_and_a_selection_is_not() -> None:
    table = ClientTable.from_arrays([[0.1, 0.2, 0.3]], [[1.0, 2.0, 3.0]], 1.0)
    assert np.shares_memory(table.slice(slice(1, 3)).base, table.base)
    assert not np.shares_memory(table.take(np.array([1, 2])).base, table.base)


def test_a_client_without_a_name_is_called_by_its_index() -> None:
    frontier = Frontier.from_points([(1.0, 0.0)])
    table = ClientTable.of([Client(frontier, 1.0), Client(frontier, 1.0, name="robot")])
    assert [table.name(0), table.name(1)] == ["client 0", "robot"]
    assert table.take(np.array([1])).name(0) == "client 0"


# --- latencies ----------------------------------------------------------------------------------


def exact_latency(client: Client, share: Fraction) -> tuple[Fraction | float, int]:
    """T(f) and the first piece that attains it, by definition, in fractions."""
    answers = [
        (Fraction(piece.base_latency) + (Fraction(piece.server_work) / share if share else 0), k)
        for k, piece in enumerate(client.frontier.pieces)
        if (piece.server_work > 0.0) == (share > 0)
    ]
    return min(answers, default=(math.inf, -1))


@quick
@given(crowds(least=1), st.data())
def test_latencies_are_the_exact_ones_rounded(crowd: list[Client], data: st.DataObject) -> None:
    quantum = data.draw(st.sampled_from([None, Fraction(1, 3), Fraction(1, 1000)]))
    bought = [data.draw(st.fractions(0, 20, max_denominator=24)) for _ in crowd]
    if quantum is not None:
        bought = [round(share / quantum) * quantum for share in bought]
    shares = np.array([float(share) for share in bought])
    meant = bought if quantum is not None else [Fraction(share) for share in shares.tolist()]
    latencies, pieces = ClientTable.of(crowd).latencies(shares, quantum)
    for i, (client, share) in enumerate(zip(crowd, meant, strict=True)):
        if share > 0 and all(piece.server_work == 0.0 for piece in client.frontier.pieces):
            continue  # nobody sells a share to one that has nothing to offload
        latency, piece = exact_latency(client, share)
        assert (pieces[i], latencies[i]) == (piece, pytest.approx(float(latency), rel=1e-15)), i


def test_pieces_that_only_fractions_tell_apart() -> None:
    shy = math.nextafter(0.1, 0.0)
    assert 4.0 + shy == 4.0 + 0.1
    tied = ClientTable.from_arrays([[0.1], [0.2]], [[0.2], [0.1]], 1.0)
    assert tied.latencies(np.array([1.0]))[1].tolist() == [0]
    close = ClientTable.from_arrays([[4.0], [4.0]], [[0.1], [shy]], 1.0)
    assert close.latencies(np.array([1.0]))[1].tolist() == [1]


# --- from arrays --------------------------------------------------------------------------------

BASE, WORK = [[0.1, 0.2], [1.0, math.inf], [2.0, 0.4]], [[0.5, 0.5], [0.0, 7.0], [0.2, 0.1]]


def test_a_missing_piece_and_local_only_stand_apart() -> None:
    table = ClientTable.from_arrays(BASE, WORK, 1.0)
    assert table.base.tolist() == [[0.1, 0.2], [math.inf, math.inf], [2.0, 0.4]]
    assert table.work.tolist() == [[0.5, 0.5], [1.0, 1.0], [0.2, 0.1]]
    assert table.local_piece.tolist() == [1, -1]
    assert table.local_base.tolist() == [1.0, math.inf]
    assert table.must_offload.tolist() == [False, True]
    points = [(p.base_latency, p.server_work) for p in table.client(1).frontier.pieces]
    assert points == [(0.2, 0.5), (0.4, 0.1)]
    assert table.names is None


def test_one_number_stands_for_everybody() -> None:
    table = ClientTable.from_arrays(BASE, WORK, 2, min_share=0.5, max_share=[1, 2], rate=3)
    assert [c.tolist() for c in (table.value, table.low, table.high, table.rate)] == [
        [2.0, 2.0],
        [0.5, 0.5],
        [1.0, 2.0],
        [3.0, 3.0],
    ]


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_each_pieces_numbers_lie_together(order: Any, kind: Any) -> None:
    base, work = np.array(BASE, kind, order=order), np.array(WORK, kind, order=order)
    before = base.copy(), work.copy()
    table = ClientTable.from_arrays(base, work, 1.0)
    np.testing.assert_array_equal(base, before[0])
    np.testing.assert_array_equal(work, before[1])
    assert table.base.flags.c_contiguous
    assert table.work.flags.c_contiguous
    same(ClientTable.from_arrays(base, work, 1.0, copy=False), table)


def test_a_table_keeps_the_arrays_it_is_given() -> None:
    base, work = np.array(BASE), np.array(WORK)
    table = ClientTable.from_arrays(base, work, 1.0, copy=False)
    assert table.base is base
    assert table.work is work
    assert not np.shares_memory(ClientTable.from_arrays(base, work, 1.0).base, base)


def test_no_clients() -> None:
    table = ClientTable.from_arrays(np.empty((3, 0)), np.empty((3, 0)), 1.0, names=[])
    assert (len(table), table.depth, table.names) == (0, 3, ())
    nothing = np.empty((0, 0))
    same(ClientTable.of([]), ClientTable.from_arrays(nothing, nothing, 1.0, names=[]))


OTHER_UNITS = "neither 0 nor between 1e-100 and 1e+100; use other units"
SHAPE = "need K x N for both, one row per piece and one column per client"

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"value_of_time": [1, 0]}, "clients[1] (b): value_of_time is 0.0; see dds.Client"),
    ({"value_of_time": [math.nan, 1]}, "clients[0] (a): value_of_time is nan; see dds.Client"),
    ({"value_of_time": math.inf}, "clients[0] (a): value_of_time is inf; see dds.Client"),
    ({"min_share": [0, -1]}, "clients[1] (b): min_share is -1.0; see dds.Client"),
    ({"min_share": [0, math.inf]}, "clients[1] (b): min_share is inf; see dds.Client"),
    ({"max_share": [1, 0]}, "clients[1] (b): max_share is 0.0; see dds.Client"),
    ({"max_share": [math.nan, 1]}, "clients[0] (a): max_share is nan; see dds.Client"),
    ({"min_share": 2, "max_share": 1}, "clients[0] (a): max_share is 1.0; see dds.Client"),
    ({"rate": [1, 0]}, "clients[1] (b): rate is 0.0; see dds.Client"),
    ({"names": None, "rate": [1, -1]}, "clients[1]: rate is -1.0; see dds.Client"),
    (
        {"work": [[0.0, 1.0], [0.0, 0.0]]},
        "clients[0] (a): local-only piece is 2; see dds.Client",
    ),
    (
        {"base": [[1.0, -1.0], [1.0, 1.0]]},
        "clients[1] (b): base_latency_s is [-1.0, inf]; see dds.Client",
    ),
    (
        {"base": [[1.0, 1.0], [1.0, -1.0]]},
        "clients[1] (b): base_latency_s is -1.0; see dds.Client",
    ),
    (
        {"base": [[1.0, math.nan], [1.0, 1.0]]},
        "clients[1] (b): base_latency_s is [nan, inf]; see dds.Client",
    ),
    (
        {"work": [[1.0, -1.0], [0.0, 0.0]]},
        "clients[1] (b): server_work_s is [-1.0, 1.0]; see dds.Client",
    ),
    (
        {"work": [[math.inf, 1.0], [0.0, 0.0]]},
        "clients[0] (a): server_work_s is [inf, 1.0]; see dds.Client",
    ),
    (
        {"base": [[1.0, math.inf], [1.0, math.inf]]},
        "clients[1] (b): piece is [inf, inf]; see dds.Client",
    ),
    (
        {"base": [[1.0, 1.0], [1.0, 1e101]]},
        f"clients[1] (b): a base_latency_s is {OTHER_UNITS}",
    ),
    (
        {"value_of_time": 1e-101},
        f"clients[0] (a): a value_of_time is {OTHER_UNITS}",
    ),
    (
        {"base": [[1.0, 1.0]]},
        f"base has shape (1, 2) and work (2, 2); {SHAPE}",
    ),
    (
        {"base": [1.0], "work": [1.0]},
        f"base has shape (1,) and work (1,); {SHAPE}",
    ),
    ({"rate": [1, 2, 3]}, "rate has shape (3,); need one for each of 2 clients"),
    ({"rate": ["one", "two"]}, "rate: need numbers, one for each of 2 clients"),
    ({"base": [["a", "b"], [1, 1]]}, "base: need K x N numbers"),
    ({"work": [[1.0], [1.0, 2.0]]}, "work: need K x N numbers"),
    ({"rate": 10**400}, "rate: need numbers, one for each of 2 clients"),
    ({"names": "ab"}, "names: one text; need one for each of 2 clients"),
    ({"names": ["a", 2]}, "names[1] is 2; need text"),
    ({"names": ["a"]}, "names: 1 of them; need one for each of 2 clients"),
]


@pytest.mark.parametrize(("wrong", "message"), REFUSED, ids=[m for _, m in REFUSED])
def test_what_no_client_may_be_is_one_line(wrong: dict[str, Any], message: str) -> None:
    right: dict[str, Any] = {
        "base": [[0.1, 0.1], [1.0, 1.0]],
        "work": [[1.0, 1.0], [0.0, 0.0]],
        "value_of_time": 1.0,
        "names": ["a", "b"],
    }
    ClientTable.from_arrays(**right)
    with pytest.raises(InvalidInput) as caught:
        ClientTable.from_arrays(**right | wrong)
    assert str(caught.value) == message


# --- from hulls ---------------------------------------------------------------------------------


@st.composite
def models(draw: st.DrawFn) -> tuple[ModelGraph, Floats, Floats]:
    """A model, and the seconds of its operators on a device and on a server core."""
    graph = draw(graphs(min_operators=1, max_operators=6))
    return graph, draw(operator_times(graph)), draw(operator_times(graph, positive=True))


@settings(deadline=None, derandomize=True, max_examples=40)
@given(st.data())
def test_a_hull_and_a_link_make_the_frontier_of_the_model(data: st.DataObject) -> None:
    kinds = data.draw(st.lists(models(), min_size=1, max_size=3))
    count = data.draw(st.integers(0, 5))
    kind = [data.draw(st.integers(0, len(kinds) - 1)) for _ in range(count)]
    up, down, rtt, value = (
        [data.draw(st.sampled_from(options)) for _ in range(count)]
        for options in ([1e4, 1e6, math.inf], [1e6, math.inf], [0.0, 0.03], [0.5, 2.0])
    )
    hulls = [hull(*each) for each in kinds]
    table = ClientTable.from_hulls(
        hulls, np.array(kind, np.int64), up, down, rtt, value, names=[f"phone {i}" for i in kind]
    )
    assert len(table) == count
    for i, k in enumerate(kind):
        client = table.client(i)
        assert (client.name, client.value_of_time) == (f"phone {k}", value[i])
        alone = frontier(*kinds[k], Link(up[i], down[i], rtt[i]))
        local = [p.base_latency for p in alone.pieces if p.server_work == 0.0]
        assert table.local_base[i] == pytest.approx(local[0] if local else math.inf, rel=1e-12)
        shares = [0.01, 0.3, 1.0, 7.0, 1e3]
        offloaded = [p for p in alone.pieces if p.server_work > 0.0]
        for share in shares if offloaded else []:
            best = min(p.base_latency + p.server_work / share for p in offloaded)
            here = table.take(np.array([i])).latencies(np.array([share]))[0][0]
            assert min(here, table.local_base[i]) == pytest.approx(
                min(best, table.local_base[i]), rel=1e-12
            )


@pytest.fixture(scope="module")
def phones() -> tuple[CutHull, CutHull]:
    """The hull of one small model on two devices."""
    graph = load_model(zoo.topology("squeezenet"))
    server = DEVICES["edge-core"]
    return (
        hull(graph, DEVICES["raspberry-pi-4"], server),
        hull(graph, DEVICES["raspberry-pi-3b"], server),
    )


def test_piece_k_of_a_client_is_cut_k_of_its_hull(phones: tuple[CutHull, CutHull]) -> None:
    table = ClientTable.from_hulls(phones, [0, 1, 0], 1e6, [2e6, 1e6, math.inf], 0.01, 1.0, rate=5)
    assert table.rate.tolist() == [5.0] * 3
    for i, (k, down) in enumerate(((0, 2e6), (1, 1e6), (0, math.inf))):
        kind = phones[k]
        last = len(kind) - 1
        bases = kind.L + kind.D_up / 1e6 + kind.D_down / down + 0.01
        np.testing.assert_allclose(table.base[:last, i], bases[:last], rtol=1e-14)
        np.testing.assert_array_equal(table.work[:last, i], kind.W[:last])
        assert np.isinf(table.base[last:, i]).all()
        assert (table.local_piece[i], table.local_base[i]) == (last, kind.L[last])


NO_KIND = "kind: need integers from 0 to 1, one per client"
NO_LINK: list[tuple[dict[str, Any], str]] = [
    ({"kind": [0, 2]}, NO_KIND),
    ({"kind": [0, -1]}, NO_KIND),
    ({"kind": [0.0, 0.5]}, NO_KIND),
    ({"kind": [[0], [1]]}, NO_KIND),
    ({"kind": 0}, NO_KIND),
    ({"uplink": [1e6]}, "uplink has shape (1,); need one for each of 2 clients"),
    ({"rtt": "fast"}, "rtt: need numbers, one for each of 2 clients"),
    ({"value_of_time": [1, 0]}, "clients[1]: value_of_time is 0.0; see dds.Client"),
    ({"hulls": ()}, "hulls: need at least one"),
]


@pytest.mark.parametrize(("wrong", "message"), NO_LINK)
def test_a_kind_or_a_link_that_does_not_exist(
    phones: tuple[CutHull, CutHull], wrong: dict[str, Any], message: str
) -> None:
    right: dict[str, Any] = {"hulls": phones, "kind": [0, 1], "value_of_time": 1.0}
    right |= {"uplink": 1e6, "downlink": 1e6, "rtt": 0.01}
    ClientTable.from_hulls(**right)
    with pytest.raises(InvalidInput) as caught:
        ClientTable.from_hulls(**right | wrong)
    assert str(caught.value) == message


def test_a_link_outside_the_box_of_its_hull(phones: tuple[CutHull, CutHull]) -> None:
    with pytest.raises(InvalidInput, match=r"uplink is 1\.0 bytes/s, outside"):
        ClientTable.from_hulls(phones, [1], 1.0, 1e6, 0.01, 1.0)


def test_arrays_that_cannot_be_written_are_copied() -> None:
    base, work = np.array([[0.1], [1.0]]), np.array([[1.0], [0.0]])
    for given_ in (base, work):
        given_.setflags(write=False)
    table = ClientTable.from_arrays(base, work, 1.0, copy=False)
    assert (table.local_piece.tolist(), base.tolist()) == ([1], [[0.1], [1.0]])
