"""Certificates of pooled equilibria: genuine ones pass, any change of any field is refused."""

import copy
import json
import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dds import Client, Frontier, Infeasible
from dds.market.table import ClientTable
from dds.pool import Measured, Pool, ProcessorSharing, pooled
from dds.testing import frontiers
from proofs import pooled as checker
from proofs.check import check, main
from proofs.document import parse

Document = dict[str, Any]
SERVERS = (
    Pool(1),
    Pool(3),
    Pool(4, ProcessorSharing(4, width=2)),
    Pool(1.5, Measured((0.0, 0.5, 0.9), (1.0, 1.5, 6.0))),
    Pool(2, Measured((0.0, 0.25, 0.5, 2.0), (0.5, 2.0, 2.5, 2.5))),
)


def read(certificate: Any) -> Document:
    found: Document = parse(certificate.to_json().encode())
    return found


def cameras(server: Pool = SERVERS[1], count: int = 8) -> Document:
    """A document with people on both sides, all of them paying something or nothing."""
    rng = np.random.default_rng(6)
    clients = [
        Client(
            Frontier.from_points([(a, w), (a + 0.1, w / 2), (3 * w, 0.0)]),
            value,
            rate=rate,
            name=f"cam {i}",
        )
        for i, (a, w, value, rate) in enumerate(rng.uniform(0.1, 1.0, (count, 4)))
    ]
    return read(pooled(clients, server).certificate)


@settings(deadline=None, max_examples=90, derandomize=True)
@given(st.data())
def test_every_equilibrium_is_verified(data: st.DataObject) -> None:
    rates = st.sampled_from([0.1, 1.0, 1e-9]) | st.floats(0.01, 3.0)
    clients = [
        Client(
            data.draw(frontiers(max_pieces=4)),
            data.draw(st.sampled_from([1.0, 1e-9, 1e9]) | st.floats(0.01, 10.0)),
            rate=data.draw(rates),
            name=f"client {i}",
        )
        for i in range(data.draw(st.integers(1, 5)))
    ]
    try:
        found = pooled(clients, data.draw(st.sampled_from(SERVERS)))
    except Infeasible:
        return
    verdict = check(read(found.certificate))
    assert verdict.verified, verdict.summary()
    assert verdict.to_json()["max_regret"] == 0.0


@pytest.mark.parametrize("server", SERVERS, ids=lambda s: s.slowdown.version)
def test_moving_one_client_is_refused(server: Pool) -> None:
    """All its figures restated correctly, as somebody would who believes in the move."""
    document = cameras(server)
    game = [(c["value_of_time"], c["rate"], c["pieces"]) for c in document["clients"]]
    for i, client in enumerate(document["clients"]):
        for k in range(len(client["pieces"])):
            if k != client["piece"]:
                chosen = [c["piece"] for c in document["clients"]]
                chosen[i] = k
                made = restated(document, server, game, chosen)
                verdict = check(made)
                assert not verdict.verified
                if all(0.0 <= v < math.inf for v in (made["slowdown"], made["toll"])):
                    assert all("would save it" in reason for reason in verdict.reasons)
    same = [c["piece"] for c in document["clients"]]
    assert check(restated(document, server, game, same)).verified


def restated(document: Document, server: Pool, game: list[Any], chosen: list[int]) -> Document:
    """The document with other pieces and every other figure recomputed."""
    curve, cores = server.slowdown, server.capacity
    picked = [pieces[k] for (_, _, pieces), k in zip(game, chosen, strict=True)]
    loads = [r * w / cores for (_, r, _), (_, w) in zip(game, picked, strict=True)]
    weights = [v * w for (v, _, _), (_, w) in zip(game, picked, strict=True)]
    rho, weight = sum(loads), sum(weights)
    x = float(curve(rho))
    made = copy.deepcopy(document)
    made["load"], made["slowdown"] = rho, x
    made["toll"] = weight * float(curve.slope(rho)) / cores
    made["cost"] = sum(v * a for (v, _, _), (a, _) in zip(game, picked, strict=True)) + weight * x
    for i, row in enumerate(made["clients"]):
        row["piece"] = chosen[i]
        row["latency_s"] = picked[i][0] + picked[i][1] * x
        row["payment"] = (weight - weights[i]) * (x - float(curve(max(rho - loads[i], 0.0))))
    return made


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of all numbers and strings."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    else:
        yield path


def with_changed(
    document: Document, path: tuple[Any, ...], change: Callable[[Any], Any]
) -> Document:
    made = copy.deepcopy(document)
    holder = made
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = change(holder[path[-1]])
    return made


@pytest.mark.parametrize("server", SERVERS, ids=lambda s: s.slowdown.version)
def test_a_changed_number_is_refused(server: Pool) -> None:
    """All but one kind: pieces that stay unattractive may be anything."""
    document = cameras(server)
    unused = {
        ("clients", i, "pieces", k)
        for i, c in enumerate(document["clients"])
        for k in range(3)
        if k != c["piece"]
    }
    tried = 0
    for path in leaves(document):
        if path[:4] in unused or path[-1] == "name":
            continue
        changed = with_changed(document, path, changed_value)
        if changed != document:
            verdict = check(changed)
            # The rate of somebody who computes locally changes nothing but what it might do.
            idle = path[-1] in ("rate", "value_of_time") and (
                document["clients"][path[1]]["pieces"][document["clients"][path[1]]["piece"]][1]
                == 0
            )
            assert not verdict.verified or (idle and path[-1] == "rate"), path
            tried += 1
    assert tried > 50


def changed_value(value: Any) -> Any:
    if isinstance(value, str):
        return value + "x"
    return value + 1 if isinstance(value, int) else value * 1.001 + (1e-3 if value == 0 else 0)


def test_an_attractive_piece_is_noticed() -> None:
    document = cameras()
    for i, client in enumerate(document["clients"]):
        k = next(k for k in range(3) if k != client["piece"])
        better = with_changed(document, ("clients", i, "pieces", k), lambda _: [1e-3, 1e-3])
        verdict = check(better)
        assert f"clients[{i}] 'cam {i}': piece {k} would save it" in verdict.summary()


@pytest.mark.parametrize("value", [None, True, "x", -1.0, 1e300, [], {}])
def test_every_field_must_be_what_it_is(value: Any) -> None:
    for server in (SERVERS[1], SERVERS[3]):
        document = cameras(server, count=2)
        for path in leaves(document):
            if isinstance(value, str) and path[-1] == "name":
                continue
            assert not check(with_changed(document, path, lambda _: value)).verified, path
        for key in document:
            assert not check({k: v for k, v in document.items() if k != key}).verified
            assert not check(document | {key: value}).verified
        for key in document["clients"][0]:
            made = copy.deepcopy(document)
            del made["clients"][1][key]
            assert not check(made).verified


def test_names_tell_clients_apart() -> None:
    document = cameras()
    document["clients"][1]["name"] = document["clients"][0]["name"]
    assert "two clients have the same name" in check(document).summary()


def test_an_overloaded_server_is_refused() -> None:
    document = cameras()
    document["capacity"] = document["slowdown_curve"]["cores"] = 1
    for client in document["clients"]:
        client["rate"] *= 100
    assert "more than the server bears" in check(document).summary()


def test_numbers_too_small_to_matter() -> None:
    """Sixty-four lanes at a load of 1e-9: the toll is below any number, and 0."""
    found = pooled([Client(Frontier.from_points([(0.0, 1e-9)]), 1.0)] * 64, Pool(64))
    assert check(read(found.certificate)).verified
    table = ClientTable.from_arrays([[np.inf, 0.1], [0.2, 0.4]], [[1.0, 0.1], [0.0, 0.0]], 1.0)
    assert check(read(pooled(table, Pool(1)).certificate)).verified


@pytest.mark.parametrize("lanes", [1, 2, 3, 7, 40])
@settings(deadline=None, max_examples=25, derandomize=True)
@given(load=st.fractions(0, 1, max_denominator=1000).filter(lambda f: f < 1))
def test_erlang_from_its_definition(lanes: int, load: Fraction) -> None:
    def delay(rho: Fraction) -> Fraction:
        offered = lanes * rho
        terms = [offered**j / math.factorial(j) for j in range(lanes)]
        queue = offered**lanes / math.factorial(lanes) / (1 - rho)
        return queue / (sum(terms) + queue)

    delayed, rise = checker.erlang(lanes, load)
    assert delayed == delay(load)
    x = checker.slowdown(lanes, 2, load)
    assert x == (1 + delayed / (lanes * (1 - load))) / 2
    step = Fraction(1, 10**15)
    if load + step < 1:
        slope = (delay(load + step) - delay(load)) / step
        assert math.isclose(rise, slope, rel_tol=1e-8, abs_tol=1e-8)
    assert checker.slowdown(lanes, 1, Fraction(1)) is None


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "pooled.json"
    document = cameras()
    path.write_text(json.dumps(document), encoding="utf-8")
    assert main([str(path)]) == 0
    assert capsys.readouterr().out.startswith(
        "certificate verified: 8 clients on a shared server, no gain in 16 deviations, load "
    )
    assert main([str(path), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["verified"], shown["concept"], shown["clients"]) == (True, "pooled", 8)
    document["clients"][0]["payment"] += 0.5
    path.write_text(json.dumps(document), encoding="utf-8")
    assert main([str(path)]) == 1
    assert "is not what it costs the others" in capsys.readouterr().out
