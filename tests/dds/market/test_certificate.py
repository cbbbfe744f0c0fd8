"""Certificates: what each client says alone, and that no part of one can be changed unseen."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings

from dds.cut.pieces import Frontier
from dds.errors import InvalidInput
from dds.market.certificate import Certificate, Public, assemble, certificate_row
from dds.market.client import Client
from dds.market.document import Instance, solve
from dds.market.equilibrium import Equilibrium, competitive, nash
from dds.market.numbers import exact_share
from dds.market.tariff import Barrier, Clearing, Flat, Linear, PiecewiseLinear
from dds.market.tariff_base import Tariff
from dds.testing import markets
from proofs.check import check
from proofs.document import parse

Place = tuple[str | int, ...]

CLIENTS = (
    Client(Frontier.from_points([(0.1, 0.5), (0.3, 0.2), (2.0, 0.0)]), 2.0, name="camera"),
    Client(Frontier.from_points([(0.2, 0.4), (0.9, 0.0)]), 1.0, 0.125, 1.0, "drone"),
    Client(Frontier.from_points([(0.5, 0.3)]), 0.5, name="robot"),
)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(markets())
def test_the_independent_checker_accepts_what_a_solver_certifies(market: Instance) -> None:
    verdict = check(parse(solve(market).certificate.to_json().encode()))
    assert verdict.verified, verdict.summary()


@settings(deadline=None, derandomize=True, max_examples=40)
@given(markets())
def test_a_client_can_write_its_row_alone(market: Instance) -> None:
    """From the public facts, its own share and what the others hold together."""
    found = solve(market)
    public = Public(
        found.concept, market.tariff, market.quantum, found.price, found.outcome.price_below
    )
    shares = [exact_share(share, market.quantum) for share in found.shares.tolist()]
    below = found.outcome.shares_below
    rows = [
        certificate_row(
            client,
            public,
            float(found.shares[i]),
            sum(shares) - shares[i],
            share_below=None if below is None else float(below[i]),
        )
        for i, client in enumerate(market.clients)
    ]
    assert assemble(public, rows).to_json() == found.certificate.to_json()


@pytest.mark.parametrize(
    "tariff",
    [Barrier(0.1, 2.0), Linear(0.1, 0.3), PiecewiseLinear((0.0, 0.5, 1.0), (0.1, 0.2, 1.0))],
    ids=["barrier", "linear", "table"],
)
def test_who_knows_the_others_only_rounded_allows_for_it(tariff: Tariff) -> None:
    """A row written from a float of X claims a larger regret; the certificate is still good."""
    found = nash(CLIENTS, tariff)
    public = Public("nash", tariff, None, found.price)
    shares = found.shares.tolist()
    rows = [
        certificate_row(client, public, share, found.total - share)
        for client, share in zip(CLIENTS, shares, strict=True)
    ]
    assert all(
        row["regret"] > exact["regret"]
        for row, exact in zip(rows, found.certificate["clients"], strict=True)
    )
    verdict = check(json.loads(assemble(public, rows).to_json()))
    assert verdict.verified, verdict.summary()


def test_what_the_others_leave_of_the_capacity_may_be_known_only_rounded_too() -> None:
    """At a flat price F matters as far as it leaves room; most of all to who has little."""
    rich = [Client(Frontier.from_points([(0.0, 0.25)]), 1.0, name=f"c{i}") for i in range(5)]
    clients = [*rich, replace(rich[0], value_of_time=1e-9, name="tiny")]
    tariff = Flat(0.1, 1.0)
    found = nash(clients, tariff)
    public = Public("nash", tariff, None, found.price)
    rows = [
        certificate_row(client, public, share, found.total - share)
        for client, share in zip(clients, found.shares.tolist(), strict=True)
    ]
    verdict = check(json.loads(assemble(public, rows).to_json()))
    assert verdict.verified, verdict.summary()


# --- tampering ----------------------------------------------------------------------------------


def leaves(document: Any, place: Place = ()) -> Iterator[Place]:
    """Where every number, text and null stands."""
    if isinstance(document, Mapping):
        for key, value in document.items():
            yield from leaves(value, (*place, key))
    elif isinstance(document, list):
        for k, value in enumerate(document):
            yield from leaves(value, (*place, k))
    else:
        yield place


def with_value(document: Any, place: Place, change: Any) -> Any:
    changed = copy.deepcopy(document)
    holder = changed
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = change(holder[place[-1]])
    return changed


def other(value: Any) -> Any:
    """A different value of the same kind, well formed wherever the old one was."""
    if isinstance(value, str):
        return "1/7" if "/" in value else f"{value}x"
    if value is None:
        return 0.125
    return value + 1 if isinstance(value, int) else value * 1.01 + 0.001


def solved() -> dict[str, Equilibrium]:
    table = PiecewiseLinear((0.0, 0.5, 1.0), (0.1, 0.2, 1.0))
    return {
        "nash": nash(CLIENTS, Barrier(0.1, 2.0)),
        "nash in quanta": nash(CLIENTS, Linear(0.1, 0.3), quantum=Fraction(1, 1000)),
        "nash at a table": nash(CLIENTS, table),
        "competitive": competitive(CLIENTS, 0.9),
        "competitive in quanta": competitive(CLIENTS, Linear(0.1, 0.3), quantum=Fraction(1, 100)),
    }


#: What may be another number while the claim stays true: names; where the best deviation was
#: looked for, as a bad witness can only fail to prove (THEOREMS 3); and the game itself, a
#: bound that does not bind or a piece that nobody would run (a test below has those that bind).
FREE = {"witness", "name", "value_of_time", "pieces", "min_share", "max_share", "tariff"}


@pytest.mark.parametrize("name", sorted(solved()))
def test_every_number_that_claims_something_is_checked(name: str) -> None:
    document = json.loads(solved()[name].certificate.to_json())
    assert check(document).verified
    for place in leaves(document):
        key = next(k for k in reversed(place) if isinstance(k, str))
        if key in FREE or "tariff" in place:
            continue
        verdict = check(with_value(document, place, other))
        assert not verdict.verified, f"{place} may be changed unseen"


@pytest.mark.parametrize("name", sorted(solved()))
def test_nothing_may_be_missing_or_of_another_kind(name: str) -> None:
    document = json.loads(solved()[name].certificate.to_json())
    for place in leaves(document):
        for wrong in ({}, [[]], True, "?", float("nan"), -1.0):
            if place[-1] == "name" and wrong == "?":
                continue
            verdict = check(with_value(document, place, lambda _, wrong=wrong: wrong))
            assert not verdict.verified, f"{place} may be {wrong!r}"
        key = place[-1]
        if isinstance(key, str):
            changed = copy.deepcopy(document)
            holder = changed
            for step in place[:-1]:
                holder = holder[step]
            del holder[key]
            verdict = check(changed)
            assert not verdict.verified, f"{place} may be missing"


def test_what_a_client_is_worth_matters_where_it_changes_a_choice() -> None:
    document = json.loads(solved()["nash"].certificate.to_json())
    camera = document["clients"][0]
    share, piece = camera["share"], camera["piece"]
    assert share > 0.0
    for place, value in (
        (("clients", 0, "value_of_time"), 3.0),
        (("clients", 0, "pieces", piece, 0), 1.5),
        (("clients", 0, "pieces", piece, 1), 0.6),
        (("clients", 0, "max_share"), share / 2.0),
        (("clients", 0, "min_share"), share * 2.0),
        (("tariff", "base_price"), 0.11),
        (("tariff", "capacity"), 2.2),
    ):
        changed = with_value(document, place, lambda _, value=value: value)
        assert not check(changed).verified, place


def test_rows_may_not_be_dropped_repeated_or_swapped_for_another() -> None:
    document = json.loads(solved()["nash in quanta"].certificate.to_json())
    rows = document["clients"]
    for changed in ([], rows[:-1], [*rows, rows[0]], [rows[1], rows[1], rows[2]]):
        assert not check({**document, "clients": changed}).verified
    assert check({**document, "clients": rows[::-1]}).verified, "order says nothing"


# --- the object ---------------------------------------------------------------------------------


def test_a_certificate_is_a_read_only_json_object() -> None:
    found = nash(CLIENTS, Clearing(1.0)).certificate
    assert isinstance(found, Certificate)
    assert isinstance(found, Mapping)
    assert found["format"] == "dds-equilibrium/1"
    assert len(found) == len(list(found)) == len(json.loads(found.to_json()))
    assert "\n" not in found.to_json()
    with pytest.raises(TypeError):
        found["price"] = 0.0  # type: ignore[index]


def test_a_certificate_needs_a_client_and_a_row_needs_a_piece() -> None:
    public = Public("nash", Linear(0.1, 0.2), None, 0.1)
    with pytest.raises(InvalidInput, match="at least one"):
        assemble(public, [])
    with pytest.raises(InvalidInput, match="no piece"):
        certificate_row(CLIENTS[2], public, 0.0, 0.0)


def test_a_row_may_hide_its_clients_name() -> None:
    public = Public("nash", Linear(0.1, 0.2), None, 0.1)
    row = certificate_row(CLIENTS[0], public, 0.0, Fraction(0), name="someone")
    assert row["name"] == "someone"
    assert row["regret"] > 0.0, "local-only is not best at this price, and the row says so"
