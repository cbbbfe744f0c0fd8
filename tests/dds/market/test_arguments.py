"""What no mechanism takes, refused by all of them in one line."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from dds import Linear, Pool, competitive, nash, pooled, recommend
from dds.cut.pieces import Frontier
from dds.dynamics import kelly, sequential, tatonnement
from dds.errors import InvalidInput
from dds.market.arguments import check_names, read_capacity, read_price, table_of
from dds.market.bound import dual_bound
from dds.market.client import Client
from dds.market.endowment import endowed
from dds.market.social import social
from dds.market.table import ClientTable
from dds.pool import pooled_baselines, reserved_baselines

ANNA = Client(Frontier.from_points([(0.1, 1.0), (2.0, 0.0)]), 1.0, name="anna")
#: Everything that takes clients and something that serves them.
TAKERS: dict[str, Callable[..., object]] = {
    "nash": lambda clients: nash(clients, Linear(0.0, 1.0)),
    "competitive": lambda clients: competitive(clients, 1.0),
    "social": lambda clients: social(clients, 1.0),
    "dual_bound": lambda clients: dual_bound(clients, 1.0),
    "endowed": lambda clients: endowed(clients, 1.0),
    "kelly": lambda clients: kelly(clients, 1.0),
    "sequential": lambda clients: sequential(clients, Linear(0.0, 1.0)),
    "tatonnement": lambda clients: tatonnement(clients, 1.0),
    "pooled": lambda clients: pooled(clients, Pool(1)),
    "recommend": lambda clients: recommend(clients, Pool(1)),
    "pooled_baselines": lambda clients: pooled_baselines(clients, Pool(1)),
    "reserved_baselines": lambda clients: reserved_baselines(clients, 1.0),
}


@pytest.mark.parametrize("take", TAKERS.values(), ids=TAKERS)
def test_nobody_and_who_is_no_client_are_refused_by_all(take: Callable[..., object]) -> None:
    for nobody in ([], ClientTable.of([])):
        with pytest.raises(InvalidInput, match=r"^clients: need at least one$"):
            take(nobody)
    with pytest.raises(InvalidInput, match=r"^clients\[1\] is str; need a Client$"):
        take([ANNA, "ben"])


def test_a_table_is_taken_as_it_is() -> None:
    table = ClientTable.of([ANNA, replace(ANNA, name="ben")])
    assert table_of(table) is table
    assert table_of([ANNA]).client(0) == ANNA


def test_names_must_differ_where_there_are_any() -> None:
    check_names(table_of([ANNA, replace(ANNA, name="ben")]))
    check_names(table_of([ANNA, replace(ANNA, name="")]))
    check_names(ClientTable.from_arrays([[0.1, 0.1]], [[1.0, 1.0]], 1.0))
    with pytest.raises(InvalidInput, match=r"clients\[2\].name repeats 'anna' of clients\[0\]"):
        check_names(table_of([ANNA, replace(ANNA, name="ben"), ANNA]))


def test_capacities() -> None:
    assert read_capacity(3) == 3.0
    assert type(read_capacity(3)) is float
    for narrow in (np.int64(3), np.float32(3.0)):
        assert read_capacity(narrow) == 3.0
        assert type(read_capacity(narrow)) is float
    for wrong in (
        *(0.0, -1.0, 1e300, 10**400, float("nan"), float("inf"), np.float32(np.inf)),
        *(True, "4", None, Fraction(1, 2), [4.0]),
    ):
        with pytest.raises(InvalidInput, match=r"^capacity is .*; need 1e-100 to 1e\+100 cores$"):
            read_capacity(wrong)  # type: ignore[arg-type]


def test_prices() -> None:
    assert read_price(0) == 0.0
    assert read_price(np.float32(0.5)) == 0.5
    for wrong in (-1.0, 1e300, float("nan"), float("inf"), np.float32(np.inf), True, "4", [4.0]):
        with pytest.raises(
            InvalidInput, match=r"^price is .*; need 0 to 1e\+100 credits/s per core$"
        ):
            read_price(wrong)  # type: ignore[arg-type]


def test_a_start_is_an_equilibrium() -> None:
    for start in (0.5, Linear(0.0, 1.0)):
        with pytest.raises(InvalidInput, match=r"^start is .*; need a dds.Equilibrium or None$"):
            nash([ANNA], Linear(0.0, 1.0), start=start)  # type: ignore[arg-type]
