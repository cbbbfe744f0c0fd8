"""Whole documents: true ones are accepted, tampered ones refused with the right reason."""

import copy
import math
import re
from collections.abc import Callable
from fractions import Fraction
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from proofs.check import Verdict, check

Document = dict[str, Any]
QUANTUM = Fraction(1, 4)


@pytest.fixture(scope="module")
def documents(games: ModuleType) -> dict[str, Document]:
    """One true document of each kind."""
    rows = list(games.CLIENTS)
    found = {
        "clearing": games.cleared(rows, 0.7),
        "tie": games.tied(3, 5.0, 2),
        "posted and taken": games.cleared(rows, 0.5, games.TARIFFS[0]),
    }
    for m, tariff in enumerate(games.TARIFFS):
        found[f"nash {m} {tariff['kind']}"] = games.continuous_nash(rows, tariff)
        quantised = next(games.quantised_nash(rows, tariff, QUANTUM, 8))
        found[f"quantised nash {m} {tariff['kind']}"] = quantised
    return found


def reasons(verdict: Verdict) -> str:
    assert not verdict.verified
    return "\n".join(verdict.reasons)


def test_true_documents_are_accepted(documents: dict[str, Document]) -> None:
    for name, document in documents.items():
        verdict = check(document)
        assert verdict.verified, f"{name}: {verdict.summary()}"
        assert verdict.checked is not None
        assert verdict.checked.largest_part <= Fraction(1, 10**8)


def test_an_equilibrium_on_a_kink_needs_the_right_subgradient(
    documents: dict[str, Document],
) -> None:
    on_kink = documents["nash 7 piecewise"]
    assert on_kink["total_demand"] == pytest.approx(1.7, rel=1e-12)


def test_every_quantised_equilibrium_and_nothing_else(games: ModuleType) -> None:
    """All profiles of a two-client game: accepted exactly when enumeration says equilibrium."""
    rows = [games.client("a", 1.0, [[0.25, 1.0], [1.5, 0.0]], 0.0, 1.5),
            games.client("b", 1.5, [[0.5, 0.5], [1.0, 0.25]], 0.5, 1.5)]  # fmt: skip
    for tariff in games.TARIFFS:
        true = {
            tuple((row["share"], row["piece"]) for row in document["clients"])
            for document in games.quantised_nash(rows, tariff, QUANTUM, 6)
        }
        assert true
        accepted = set()
        for a in range(7):
            for b in range(2, 7):
                for piece in (0, 1):
                    shares = [a * 0.25, b * 0.25]
                    if games.price(tariff, sum(shares)) is None:
                        continue
                    pieces = [int(a == 0), piece]
                    document = games.nash_document(rows, tariff, shares, pieces, 0.0, 0.0)
                    document["quantum"] = "1/4"
                    for i, row in enumerate(document["clients"]):
                        row["witness"] = best_quanta_of(games, row, tariff, shares[1 - i])
                    if check(document).verified:
                        accepted.add(tuple(zip(shares, pieces, strict=True)))
        assert accepted == true


def best_quanta_of(
    games: ModuleType, row: Document, tariff: Document, others: float
) -> list[float | None]:
    """By enumeration, the cheapest share in quanta of every piece."""
    found: list[float | None] = []
    for k, (_, work) in enumerate(row["pieces"]):
        options = [
            (games.cost(row, k, n * QUANTUM, unit), n)
            for n in range(1, 7)
            if n * 0.25 >= row["min_share"] and n * 0.25 <= row["max_share"] and work
            if (unit := games.price(tariff, Fraction(others) + n * QUANTUM)) is not None
        ]
        found.append(min(options)[1] * 0.25 if options else None)
    return found


# What a tampered field must be refused for; the reason also names the client.
TAMPER: dict[str, tuple[Callable[[float], float], str]] = {
    "share": (lambda x: x * 1.001 if x else 0.125, r"share|latency_s|payment"),
    "latency_s": (lambda x: x * (1 + 1e-9), r"latency_s .* is not A \+ W/f = "),
    "payment": (lambda x: x * (1 - 1e-9) if x else 0.01, r"payment .* is not share x price = "),
    "regret": (lambda x: -x if x else 0.01, r"regret .* (below 0|is more than 1e-06 x its cost)"),
}


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_tampered_row_is_refused(documents: dict[str, Document], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(documents)))
    document = copy.deepcopy(documents[name])
    i = data.draw(st.integers(0, len(document["clients"]) - 1))
    key = data.draw(st.sampled_from(sorted(TAMPER)))
    row = document["clients"][i]
    change, reason = TAMPER[key]
    row[key] = change(row[key])
    found = check(document)
    place = rf"clients\[{i}\] '{row['name']}'[:.].*"
    assert any(map(re.compile(place + f"({reason})").search, found.reasons)), (
        name, key, found.summary())  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_tampered_total_price_or_piece_is_refused(
    documents: dict[str, Document], data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(documents)))
    document = copy.deepcopy(documents[name])
    key = data.draw(st.sampled_from(["total_demand", "price", "max_regret", "piece", "capacity"]))
    up = data.draw(st.sampled_from([1 - 1e-5, 1 + 1e-5]))
    row = data.draw(st.sampled_from(document["clients"]))
    if key == "piece":
        row["piece"] = (row["piece"] + 1) % len(row["pieces"])
        expected = f"'{row['name']}': (latency_s|share is)"
    elif key == "capacity":
        assume(document["tariff"]["capacity"] is not None)
        document["tariff"]["capacity"] = document["total_demand"] * (1 - 1e-9) or 1e-9
        assume(document["total_demand"])
        expected = "the shares sum to .* more than capacity|not a multiple"
    elif key == "max_regret":
        document[key] = document[key] * up or 1e-9
        expected = "max_regret .* is not the largest regret = "
    else:
        document[key] *= up
        expected = {
            "total_demand": "total_demand .* is not the sum of the shares = ",
            "price": "payment .* is not share x price = ",
        }[key]
    assert re.search(expected, reasons(check(document))), (name, key)


def test_a_wrong_price_is_refused_although_all_payments_match(
    documents: dict[str, Document],
) -> None:
    for name, expected in (
        ("nash 2 linear", r"price .* is not pi\(total demand\) = "),
        ("clearing", "is not shown to cost at least cost - regret"),
    ):
        document = copy.deepcopy(documents[name])
        document["price"] *= 1.01
        for row in document["clients"]:
            row["payment"] = row["share"] * document["price"]
        assert re.search(expected, reasons(check(document)))


def test_a_witness_that_proves_nothing_is_refused(documents: dict[str, Document]) -> None:
    document = copy.deepcopy(documents["nash 2 linear"])
    row = document["clients"][0]
    row["witness"][row["piece"]] *= 1.05
    assert "clients[0] 'cam-1': piece 1 is not shown" in reasons(check(document))
    row["witness"] = None
    assert "no witness is given" in reasons(check(document))
    row["witness"] = [None]
    assert "witness has 1 entries for 3 pieces" in reasons(check(document))


def test_a_large_regret_is_true_but_worthless(games: ModuleType) -> None:
    """Arbitrary shares with their true regrets: refused, unless one asks for so little."""
    rows, tariff = list(games.CLIENTS), games.TARIFFS[2]
    document = games.nash_document(rows, tariff, [0.5, 0.5, 0.5], [0, 0, 0])
    assert "is more than 1e-06 x its cost" in reasons(check(document))
    assert check(document, tolerance=Fraction(1)).verified


@settings(max_examples=70, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_accepted_means_no_deviation_gains_more_than_the_regret(
    games: ModuleType, data: st.DataObject
) -> None:
    """Soundness on any profile, and completeness: a regret is accepted iff it is large enough."""
    tariff = data.draw(st.sampled_from(games.TARIFFS))
    numbers = st.integers(1, 24).map(lambda n: n / 8)
    rows, shares, pieces = [], [], []
    for i in range(data.draw(st.integers(1, 3))):
        plain = data.draw(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=3))
        low = data.draw(st.sampled_from([0.0, 0.25]))
        high = data.draw(st.sampled_from([None, 0.75]))
        local = data.draw(st.booleans())
        offered = [list(pair) for pair in plain] + ([[2.0, 0.0]] if local else [])
        rows.append(games.client(f"c{i}", data.draw(numbers), offered, low, high))
        pieces.append(data.draw(st.integers(0, len(offered) - 1)))
        share = data.draw(st.integers(4, 12)) / 16
        shares.append(share if offered[pieces[-1]][1] else 0.0)
    assume(games.price(tariff, sum(shares)) is not None)
    scale = data.draw(st.sampled_from([0.0, 0.5, 0.999, 1.0]))
    document = games.nash_document(rows, tariff, shares, pieces, scale, 1e-7)
    verdict = check(document, tolerance=Fraction(10**6))
    if scale == 1.0:
        assert verdict.verified, verdict.summary()
    total = sum(map(Fraction, shares))
    for i, row in enumerate(document["clients"]):
        others = total - Fraction(row["share"])
        own = games.cost(row, row["piece"], Fraction(row["share"]), games.price(tariff, total))
        goal = own - Fraction(row["regret"])
        gains = any(cost < goal for cost in deviations(games, row, tariff, others))
        if verdict.verified:
            assert not gains
        elif gains:
            assert any(reason.startswith(f"clients[{i}]") for reason in verdict.reasons)


def deviations(
    games: ModuleType, row: Document, tariff: Document, others: Fraction
) -> list[Fraction]:
    """Exact costs of the actions on a dense grid, and of the best found by search."""
    low, high = games.allowed(row, tariff, float(others))
    top = min(high, 4.0)
    found = []
    for k, (_, work) in enumerate(row["pieces"]):
        if not work:
            found.append(games.cost(row, k, Fraction(0), Fraction(0)))
            continue
        shares = [low + (top - low) * n / 40 for n in range(41)]
        shares += [games.search(row, k, float(others), tariff) or 0.0]
        for share in map(Fraction, shares):
            unit = games.price(tariff, others + share)
            if share > 0 and Fraction(low) <= share <= (high if high < math.inf else share) and (
                unit is not None
            ):  # fmt: skip
                found.append(games.cost(row, k, share, unit))
    return found


def test_local_only_needs_no_share_and_the_rest_needs_some(documents: dict[str, Document]) -> None:
    document = copy.deepcopy(documents["clearing"])
    row = document["clients"][0]
    row["piece"] = 2
    assert "'cam-1': share is 0.8" in reasons(check(document))
    row["piece"], row["share"] = 1, 0
    assert "share is 0 on piece 1, which has server work 0.5" in reasons(check(document))
    row["share"], row["min_share"] = 0.5, 0.6
    assert "share is 0.5, below min_share 0.6" in reasons(check(document))
    row["max_share"], row["min_share"] = 0.25, 0
    assert "share is 0.5, above max_share 0.25" in reasons(check(document))


def test_bounds_that_leave_no_share_are_refused_even_with_share_0(games: ModuleType) -> None:
    """Nobody can have meant them: with nothing allowed, nothing could be better than share 0."""
    row = games.client("a", 1.0, [[0.0, 1.0], [9.0, 0.0]], 2.0, 1.0)
    row |= {"piece": 1, "share": 0.0, "latency_s": 9.0, "payment": 0.0, "regret": 0.0}
    document = {
        "format": "dds-equilibrium/1", "concept": "nash", "quantum": None, "price": 0.0,
        "tariff": {"kind": "flat", "price": 0.0, "capacity": 4.0}, "total_demand": 0.0,
        "max_regret": 0.0, "price_below": None, "clients": [row],
    }  # fmt: skip
    assert "max_share 1.0 is below min_share 2.0" in reasons(check(document))


def test_empty_handed_markets(games: ModuleType) -> None:
    """Price 0, nobody buys; and a capacity that demand at price 0 does not reach."""
    idle = [games.client("a", 1.0, [[0.5, 0.0]]), games.client("b", 1.0, [[1.0, 2.0], [0.25, 0.0]])]
    document = games.finish("nash", games.TARIFFS[2], None, 0.125, Fraction(0), [
        {**row, "piece": k, "share": 0, "latency_s": row["pieces"][k][0], "payment": 0, "regret": 0}
        for row, k in zip(idle, (0, 1), strict=True)])  # fmt: skip
    assert check(document).verified
    ample = {"kind": "clearing", "capacity": 10.0}
    rows = [games.client("a", 1.0, [[1.0, 2.0], [3.0, 0.0]], 0.0, 4.0),
            games.client("b", 1.0, [[1.0, 1.0]], 0.5, 2.0)]  # fmt: skip
    free = [{**row, "piece": 0, "share": row["max_share"], "payment": 0, "regret": 0,
             "latency_s": 1.5} for row in rows]  # fmt: skip
    document = games.finish("nash", ample, None, 0.0, Fraction(6), free)
    assert check(document).verified
    document["quantum"] = "1/10"
    assert check(document).verified
    document["clients"][0]["max_share"] = None
    assert "it costs only 1.0 at ever larger shares" in reasons(check(document))
    del document["quantum"]
    assert reasons(check(document)) == "quantum is missing"


def test_bounds_and_capacity_in_quanta_mean_their_multiples(games: ModuleType) -> None:
    """As doubles 0.1 > 1/10 and 0.3 < 3/10; with a quantum they are 100 and 300 quanta."""
    rows = [games.client("a", 1.0, [[1.0, 1.0]], 0.1, 0.1),
            games.client("b", 1.0, [[1.0, 1.0]], 0.3, 0.3)]  # fmt: skip
    entries = [{**row, "piece": 0, "share": row["max_share"], "regret": 0.0,
                "latency_s": 1 + 1 / row["max_share"], "payment": row["max_share"] / 2}
               for row in rows]  # fmt: skip
    tariff = {"kind": "flat", "price": 0.5, "capacity": 0.4}
    document = games.finish("nash", tariff, "1/1000", 0.5, Fraction(4, 10), entries)
    assert check(document).verified
    document["clients"][0]["share"] = 0.1003
    assert "share is 0.1003, not a multiple of 0.001" in reasons(check(document))


def test_ties_are_filled_as_far_as_they_fit(games: ModuleType) -> None:
    assert check(games.tied(1, 1.0, 0)).verified
    assert check(games.tied(3, 5.0, 2)).verified
    found = reasons(check(games.tied(3, 5.0, 1)))
    assert "clients[1] 'twin-1': is indifferent and would take share_below" in found
    assert "clients[0]" not in found
    rising = {"kind": "linear", "base_price": 0.0, "slope": 0.125, "capacity": None}
    assert check(games.tied(2, 5.0, 1, {**rising, "slope": 0.1})).verified
    assert check(games.tied(2, 5.0, 1, rising)).verified  # pi(F) = price
    assert "which still fits" in reasons(check(games.tied(3, 5.0, 1, {**rising, "slope": 0.05})))
    assert "below pi" in reasons(check(games.tied(2, 5.0, 2, rising)))


def test_a_tie_between_none_and_all_that_a_client_may_buy(games: ModuleType) -> None:
    """w = 1, A = (0, 1), W = (1/4, 0), max_share 1/2: tied at price 1."""
    row = games.client("a", 1.0, [[0.0, 0.25], [1.0, 0.0]], 0.0, 0.5)
    entry = {**row, "piece": 1, "share": 0.0, "latency_s": 1.0, "payment": 0.0, "regret": 0.0,
             "share_below": 0.5, "piece_below": 0}  # fmt: skip
    tariff = {"kind": "clearing", "capacity": 0.25}
    below = 1 - 2.0**-50
    document = games.finish("competitive", tariff, None, 1.0, Fraction(0), [entry], below)
    assert check(document).verified
    entry["share_below"] = 0.5 * (1 - 1e-6)
    assert "but for piece 1 it costs only 1.0" in reasons(check(document))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: d.update(price_below=0.25), "price_below 0.25 is not just below price 0.25"),
        (lambda d: d.update(price_below=0.24), "price_below 0.24 is not just below price 0.25"),
        (lambda d: d.update(price_below=None), "share_below is given, but price_below is null"),
        (lambda d: d["clients"][1].update(share_below=0.0), "share_below is 0 on piece 1"),
        (
            lambda d: d["clients"][1].update(share_below=2.01),
            "share_below 2.00.* costs 1.00.* at price_below, but for piece 0 it costs only",
        ),
        (lambda d: d["clients"][1].pop("share_below"), "share_below is missing"),
        (lambda d: d["clients"][1].pop("piece_below"), "piece_below is missing"),
        (
            lambda d: [row.update(share_below=0.0, piece_below=0) for row in d["clients"]],
            "demand 0.0 at price_below 0.24.* could be sold there: pi is 0.0",
        ),
    ],
)
def test_a_tie_witness_must_prove_its_point(
    games: ModuleType, change: Callable[[Document], object], reason: str
) -> None:
    document = games.tied(3, 5.0, 2)
    change(document)
    assert re.search(reason, reasons(check(document)))


def test_an_unsold_capacity_needs_a_reason(games: ModuleType) -> None:
    document = games.cleared(list(games.CLIENTS), 0.7)
    document["tariff"]["capacity"] *= 1.01
    assert "although only" in reasons(check(document))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_tie_witness_bounds_demand_at_every_lower_price(
    games: ModuleType, data: st.DataObject
) -> None:
    """If share_below passes at a price, every best reply at a lower price is at least that."""
    row = copy.deepcopy(data.draw(st.sampled_from(games.CLIENTS)))
    unit = data.draw(st.floats(0.05, 4.0))
    share = games.demand(row, unit)[1] * data.draw(st.sampled_from([0.5, 0.99, 1.0, 1.01]))
    document = games.cleared([row], unit * (1 + 1e-9))
    piece = games.demand(row, unit)[2]
    document["price_below"] = unit
    document["clients"][0] |= {"share_below": share, "piece_below": piece}
    found = "\n".join(check(document).reasons)
    if "share_below" not in found:
        for n in range(1, 40):
            assert games.demand(row, unit * n / 40)[1] >= share * (1 - 1e-9)


def test_names_are_unique_and_short_in_reasons(documents: dict[str, Document]) -> None:
    document = copy.deepcopy(documents["clearing"])
    document["clients"][1]["name"] = document["clients"][0]["name"]
    assert "clients[1] 'cam-1': the name is taken by clients[0]" in reasons(check(document))
    document["clients"][1]["name"] = "\x1b[31m\ud800" * 1000
    document["clients"][1]["payment"] = 7
    assert len(reasons(check(document))) < 200
    assert reasons(check(document)).isascii()
