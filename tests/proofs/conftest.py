"""Small markets solved by other means than DDS: enumeration in fractions, and plain search.

Nothing here comes from dds or proofs, so that agreement between them means something.
Tests take it as the fixture ``games`` (test modules cannot import each other).
"""

import copy
import functools
import itertools
import math
import sys
from collections.abc import Iterator
from fractions import Fraction
from types import ModuleType
from typing import Any

import pytest

Document = dict[str, Any]
Pieces = list[list[float]]


@pytest.fixture(scope="session")
def games() -> ModuleType:
    return sys.modules[__name__]


def price(tariff: Document, load: Any) -> Any:
    """pi(F) from the definitions; exact for a Fraction, None where F is not for sale."""
    capacity, kind = tariff["capacity"], tariff["kind"]
    if capacity is not None and (load >= capacity if kind == "barrier" else load > capacity):
        return None
    exact = Fraction if isinstance(load, Fraction) else float
    if kind == "clearing":
        return exact(0)
    if kind == "flat":
        return exact(tariff["price"])
    if kind == "linear":
        return exact(tariff["base_price"]) + exact(tariff["slope"]) * load
    if kind == "power":
        return exact(tariff["base_price"]) + exact(tariff["scale"]) * load ** tariff["exponent"]
    if kind == "barrier":
        return exact(tariff["base_price"]) / (1 - load / exact(capacity))
    loads, prices = tariff["loads"], tariff["prices"]
    m = max((m for m in range(len(loads) - 1) if loads[m] <= load), default=None)
    if m is None:
        return exact(prices[0])
    slope = (exact(prices[m + 1]) - exact(prices[m])) / (exact(loads[m + 1]) - exact(loads[m]))
    return exact(prices[m]) + slope * (load - exact(loads[m]))


TARIFFS: tuple[Document, ...] = (
    {"kind": "flat", "price": 0.5, "capacity": None},
    {"kind": "flat", "price": 0.25, "capacity": 2.5},
    {"kind": "linear", "base_price": 0.125, "slope": 0.25, "capacity": None},
    {"kind": "linear", "base_price": 0.0, "slope": 0.5, "capacity": 2.0},
    {"kind": "power", "base_price": 0.125, "scale": 0.0625, "exponent": 3, "capacity": None},
    {"kind": "barrier", "base_price": 0.25, "capacity": 4.0},
    {
        "kind": "piecewise",
        "loads": [0.0, 1.0, 2.0, 3.0],
        "prices": [0.125, 0.25, 1.0, 2.0],
        "capacity": 3.5,
    },
    # The equilibrium of CLIENTS sits on this one's kink.
    {"kind": "piecewise", "loads": [0.0, 1.7, 2.7], "prices": [0.1, 0.3, 5.3], "capacity": None},
)


def client(
    name: str, value: float, pieces: Pieces, low: float = 0.0, high: float | None = None
) -> Document:
    """One client as a row of a document, its choice still missing."""
    return {
        "name": name,
        "value_of_time": value,
        "min_share": low,
        "max_share": high,
        "pieces": pieces,
    }


#: Three clients: two have local-only, the third must offload and has bounds.
CLIENTS: tuple[Document, ...] = (
    client("cam-1", 1.0, [[0.25, 1.0], [0.5, 0.5], [3.0, 0.0]]),
    client("cam-2", 2.0, [[0.125, 0.75], [1.0, 0.25], [4.0, 0.0]], 0.0, 2.0),
    client("cam-3", 0.5, [[0.5, 1.0], [1.0, 0.5]], 0.25, 1.5),
)


def latency(row: Document, piece: int, share: Any) -> Any:
    """A + W/f, exact for a Fraction."""
    base, work = row["pieces"][piece]
    exact = Fraction if isinstance(share, Fraction) else float
    return exact(base) + (exact(work) / share if work else 0)


def cost(row: Document, piece: int, share: Any, unit: Any) -> Any:
    """w T + f x unit price."""
    exact = Fraction if isinstance(share, Fraction) else float
    return exact(row["value_of_time"]) * latency(row, piece, share) + share * unit


def allowed(row: Document, tariff: Document | None, others: Any) -> tuple[float, float]:
    """Bounds of an offloading share; the tariff's capacity counts if there is a tariff."""
    high = math.inf if row["max_share"] is None else row["max_share"]
    if tariff is not None and tariff["capacity"] is not None:
        room = float(tariff["capacity"] - others)
        high = min(high, room * (1 - 1e-12) if tariff["kind"] == "barrier" else room)
    return row["min_share"], high


def search(row: Document, piece: int, others: float, tariff: Document) -> float | None:
    """The share that minimises a piece's cost, by golden-section search; None if none fits."""
    low, high = allowed(row, tariff, others)
    low, high = max(low, 1e-6), min(high, 1e3)
    if high < low:
        return None
    ratio = (math.sqrt(5.0) - 1.0) / 2.0
    a, b = low, high
    for _ in range(90):
        c, d = b - ratio * (b - a), a + ratio * (b - a)
        values = [cost(row, piece, f, price(tariff, others + f)) for f in (c, d)]
        a, b = (a, d) if values[0] < values[1] else (c, b)
    return min(
        (low, high, (a + b) / 2), key=lambda f: cost(row, piece, f, price(tariff, others + f))
    )


def replies(row: Document, others: float, tariff: Document) -> list[float | None]:
    """The best share of every piece (0 for local-only, None if none fits)."""
    return [
        search(row, k, others, tariff) if work else 0.0 for k, (_, work) in enumerate(row["pieces"])
    ]


def best(row: Document, others: float, tariff: Document) -> tuple[float, float, int]:
    """(cost, share, piece) of the best reply among all pieces."""
    return min(
        (cost(row, k, f, price(tariff, others + f)), f, k)
        for k, f in enumerate(replies(row, others, tariff))
        if f is not None
    )


def nash_document(
    rows: list[Document],
    tariff: Document,
    shares: list[float],
    pieces: list[int],
    scale: float = 1.0,
    margin: float = 1e-9,
) -> Document:
    """The document that claims ``shares``, each regret being ``scale`` x the true one + margin."""
    total = sum(map(Fraction, shares))
    unit = float(price(tariff, total))
    entries = []
    for row, share, piece in zip(rows, shares, pieces, strict=True):
        others = float(total - Fraction(share))
        own = cost(row, piece, share, unit)
        regret = max(own - best(row, others, tariff)[0], 0.0)
        entries.append(
            {
                **copy.deepcopy(row),
                "piece": piece,
                "share": share,
                "latency_s": latency(row, piece, share),
                "payment": share * unit,
                "regret": scale * regret + margin * own,
                "witness": [f or None for f in replies(row, others, tariff)],
            }
        )
    return finish("nash", tariff, None, unit, total, entries)


def finish(
    concept: str,
    tariff: Document,
    quantum: str | None,
    unit: float,
    total: Fraction,
    entries: list[Document],
    below: float | None = None,
) -> Document:
    """The public part around the rows."""
    return {
        "format": "dds-equilibrium/1",
        "concept": concept,
        "tariff": copy.deepcopy(tariff),
        "quantum": quantum,
        "price": unit,
        "total_demand": float(total),
        "max_regret": max(row["regret"] for row in entries),
        "price_below": below,
        "clients": entries,
    }


def continuous_nash(rows: list[Document], tariff: Document, rounds: int = 60) -> Document | None:
    """Sequential best replies from the least shares until nobody gains; None if endless."""
    pieces = [next((k for k, (_, w) in enumerate(row["pieces"]) if not w), 0) for row in rows]
    shares = [
        row["min_share"] if row["pieces"][k][1] else 0.0
        for row, k in zip(rows, pieces, strict=True)
    ]
    for _ in range(rounds):
        gain = 0.0
        for i, row in enumerate(rows):
            others = sum(shares) - shares[i]
            found, share, piece = best(row, others, tariff)
            now = cost(row, pieces[i], shares[i], price(tariff, others + shares[i]))
            if now - found > 1e-12 * found:
                gain = max(gain, (now - found) / found)
                shares[i], pieces[i] = share, piece
        if gain < 1e-10:
            if tariff["capacity"] is not None and tariff["kind"] != "barrier":
                shares = within(shares, Fraction(tariff["capacity"]))
            return nash_document(rows, tariff, shares, pieces)
    return None


def within(shares: list[float], capacity: Fraction) -> list[float]:
    """Shave the largest share until the exact sum fits."""
    shares = list(shares)
    while sum(map(Fraction, shares)) > capacity:
        largest = shares.index(max(shares))
        shares[largest] = math.nextafter(shares[largest], 0.0)
    return shares


def quantised_nash(
    rows: list[Document], tariff: Document, quantum: Fraction, most: int
) -> Iterator[Document]:
    """Every pure Nash equilibrium of the game in quanta (at most ``most`` each), enumerated."""
    rows = [{**row, "max_share": row["max_share"] or float(most * quantum)} for row in rows]
    actions = [
        [(0, k) for k, (_, work) in enumerate(row["pieces"]) if not work]
        + [
            (n, k)
            for n in range(1, most + 1)
            for k, (_, work) in enumerate(row["pieces"])
            if work and Fraction(row["min_share"]) <= n * quantum <= Fraction(row["max_share"])
        ]
        for row in rows
    ]

    @functools.cache
    def costs_of(i: int, others: Fraction) -> dict[tuple[int, int], Fraction]:
        found = {}
        for n, k in actions[i]:
            unit = price(tariff, others + n * quantum)
            if unit is not None:
                found[n, k] = cost(rows[i], k, n * quantum, unit)
        return found

    for profile in itertools.product(*actions):
        total = sum((n * quantum for n, _ in profile), Fraction(0))
        if price(tariff, total) is None:
            continue
        entries = []
        for i, (row, mine) in enumerate(zip(rows, profile, strict=True)):
            costs = costs_of(i, total - mine[0] * quantum)
            if costs[mine] > min(costs.values()):
                break
            witness: list[float | None] = []
            for k in range(len(row["pieces"])):
                of_piece = [(c, a[0]) for a, c in costs.items() if a[1] == k and a[0]]
                witness.append(float(min(of_piece)[1] * quantum) if of_piece else None)
            share = mine[0] * quantum
            entries.append(
                {
                    **copy.deepcopy(row),
                    "piece": mine[1],
                    "share": float(share),
                    "latency_s": float(latency(row, mine[1], share)),
                    "payment": float(share * price(tariff, total)),
                    "regret": 0.0,
                    "witness": witness,
                }
            )
        else:
            unit = float(price(tariff, total))
            yield finish("nash", tariff, str(quantum), unit, total, entries)


def demand(row: Document, unit: float) -> tuple[float, float, int]:
    """(cost, share, piece) of the best reply at a fixed unit price > 0, in closed form."""
    low, high = allowed(row, None, 0.0)
    options = []
    for k, (_, work) in enumerate(row["pieces"]):
        share = 0.0
        if work:
            share = min(max(math.sqrt(row["value_of_time"] * work / unit), low), high)
        options.append((cost(row, k, share, unit), share, k))
    return min(options)


def cleared(rows: list[Document], unit: float, tariff: Document | None = None) -> Document:
    """A competitive market at ``unit``; by default its capacity is what is demanded there."""
    entries = []
    for row in rows:
        found, share, piece = demand(row, unit)
        entries.append(
            {
                **copy.deepcopy(row),
                "piece": piece,
                "share": share,
                "latency_s": latency(row, piece, share),
                "payment": share * unit,
                "regret": 1e-12 * found,
            }
        )
    total = sum(Fraction(row["share"]) for row in entries)
    if tariff is None:
        tariff = {"kind": "clearing", "capacity": float(total) * (1 + 1e-9)}
    return finish("competitive", tariff, None, unit, total, entries)


def tied(count: int, capacity: float, served: int, tariff: Document | None = None) -> Document:
    """Identical clients, indifferent at price 1/4 between 2 cores and none; ``served`` get them.

    A = (1, 0), W = (0, 1), w = 1: offloading costs 2 sqrt(p) = 1 = local-only at p = 1/4.
    """
    unit, below = 0.25, 0.25 * (1 - 1e-9)
    entries = [
        {
            **client(f"twin-{i}", 1.0, [[1.0, 0.0], [0.0, 1.0]]),
            "piece": int(i < served),
            "share": 2.0 if i < served else 0.0,
            "latency_s": 0.5 if i < served else 1.0,
            "payment": 0.5 if i < served else 0.0,
            "regret": 0.0,
            "share_below": math.sqrt(1 / below),
            "piece_below": 1,
        }
        for i in range(count)
    ]
    total = Fraction(2 * served)
    tariff = tariff or {"kind": "clearing", "capacity": capacity}
    return finish("competitive", tariff, None, unit, total, entries, below)
