import copy
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from proofs.check import check

Document = dict[str, Any]


@pytest.fixture
def run(games: ModuleType) -> Document:
    """A demo run as `dds demo` writes it, one client staying local."""
    local = games.client("cam-4", 0.1, [[1.0, 1.0], [1.25, 0.0]])
    equilibrium = games.cleared([*games.CLIENTS, local], 0.7)
    table = [
        {
            "name": row["name"],
            "model": "resnet50",
            "link": {"uplink_mbps": 5.85, "downlink_mbps": 20, "rtt_s": 0.02},
            "operators_on_device": 3,
            "operators_on_server": 7 if row["share"] else 0,
            "uplink_bytes": 1000 if row["share"] else 0,
            "downlink_bytes": 10 if row["share"] else 0,
            "share": row["share"],
            "price": equilibrium["price"],
            "payment": row["payment"],
            "predicted_latency_s": row["latency_s"],
            "measured_latency_s": row["latency_s"] * 1.1,
            "local_only_latency_s": 2.0,
            "edge_only_latency_s": None,
            "max_abs_difference": 0.0,
            "max_relative_difference": 1e-7,
            "outputs_match": True,
        }
        for row in equilibrium["clients"]
    ]
    return {
        "format": "dds-run/1",
        "version": "0.1.0",
        "equilibrium": equilibrium,
        "clients": table,
        "rounds": 14,
        "certificate_verified": False,
    }


def test_a_true_run_is_accepted_whatever_it_says_about_itself(run: Document) -> None:
    verdict = check(run)
    assert verdict.verified, verdict.summary()
    assert verdict.summary().startswith("certificate verified: 4 clients, largest regret ")
    run["certificate_verified"] = True
    run["equilibrium"]["clients"][0]["payment"] *= 1.01
    assert not check(run).verified


TAMPER: list[tuple[Callable[[list[Document]], object], str]] = [
    (lambda t: t[0].update(share=0.8), "'cam-1': share 0.8 is not the certificate's 0.845"),
    (lambda t: t[1].update(price=0.8), "'cam-2': price 0.8 is not the certificate's 0.7"),
    (lambda t: t[1].update(payment=0), "'cam-2': payment 0.0 is not the certificate's 1.02"),
    (
        lambda t: t[2].update(predicted_latency_s=1.0),
        "'cam-3': predicted_latency_s 1.0 is not the certificate's 1.83",
    ),
    (
        lambda t: t[2].update(outputs_match=False, max_abs_difference=0.5),
        r"'cam-3': outputs_match is not true \(largest difference 0.5\)",
    ),
    (lambda t: t[2].update(outputs_match=1), "'cam-3': outputs_match is not true"),
    (lambda t: t[2].pop("outputs_match"), "'cam-3'.outputs_match is missing"),
    (lambda t: t[2].update(max_abs_difference=None), "max_abs_difference is null, not a number"),
    (
        lambda t: t[3].update(operators_on_server=2),
        "'cam-4': operators_on_server is 2 with share 0.0",
    ),
    (
        lambda t: t[0].update(operators_on_server=0),
        "'cam-1': operators_on_server is 0 with share 0.845",
    ),
    (lambda t: t.pop(), "'cam-4': the run's client table has no line for it"),
    (lambda t: t.append(copy.deepcopy(t[0])), r"clients\[4\] 'cam-1': the certificate has no"),
    (lambda t: t[0].update(name="cam-9"), r"clients\[0\] 'cam-9': the certificate has no"),
    (lambda t: t.__setitem__(0, 3), r"run clients\[0\] is 3, not an object"),
]


@pytest.mark.parametrize(("change", "reason"), TAMPER)
def test_a_table_that_disagrees_is_refused(
    run: Document, change: Callable[[list[Document]], object], reason: str
) -> None:
    change(run["clients"])
    verdict = check(run)
    assert not verdict.verified
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError("\n".join(verdict.reasons))


@pytest.mark.parametrize("key", ["price", "total_demand", "max_regret", "capacity"])
def test_what_the_run_repeats_must_agree(run: Document, key: str) -> None:
    certificate = run["equilibrium"]
    true = certificate["tariff"]["capacity"] if key == "capacity" else certificate[key]
    run[key] = true
    assert check(run).verified
    run[key] = true * (1 + 1e-9)
    assert f"run {key} " in check(run).reasons[0]
    assert "is not the certificate's" in check(run).reasons[0]
    run[key] = "many"
    assert check(run).reasons == (f"run {key} is 'many', not a number or a string 'a/b'",)


def test_a_run_may_have_no_capacity(run: Document) -> None:
    run["equilibrium"]["tariff"] = {"kind": "flat", "price": 0.7, "capacity": None}
    run["capacity"] = None
    assert check(run).verified
    run["capacity"] = 4.0
    assert check(run).reasons == ("run capacity 4.0 is not the certificate's null",)


@pytest.mark.parametrize("missing", ["equilibrium", "clients"])
def test_a_run_without_its_parts_is_refused(run: Document, missing: str) -> None:
    del run[missing]
    assert check(run).reasons == (f"{missing} is missing",)


def test_an_oversold_run_is_refused(run: Document) -> None:
    run["equilibrium"]["tariff"]["capacity"] = 2.0
    assert "more than capacity 2.0" in check(run).summary()
