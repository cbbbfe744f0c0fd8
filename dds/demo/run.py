"""A finished run as data: one row per client, the equilibrium, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from dds.demo.scenario import LINKS, Participant, Scenario
from dds.errors import InternalError

if TYPE_CHECKING:
    from dds.market.certificate import Public

__all__ = ["ClientRow", "Run", "assemble", "run_document"]

#: Largest differences between split and whole model that a run may show.
RTOL, ATOL = 1e-4, 1e-5


@dataclass(frozen=True, slots=True)
class ClientRow:
    """What one client bought, was promised and got.  Times in s, shares in cores.

    predicted: T of the bought piece; corrected: what the last inference was predicted to take,
    after what those before it had taught; error_before, error_after: mean relative error of the
    predictions without and with that, over the later half of the inferences; measured,
    local_only, edge_only: medians over the inferences of each strategy; edge_share: what
    edge-only bought under the same rule;
    max_abs_difference: largest difference of any output from the whole model's;
    outputs_match: whether all were within RTOL and ATOL; messages: sent while the game was
    played to its allocation.
    """

    name: str
    model: str
    slowdown: float
    link: str
    operators_on_device: int
    operators_on_server: int
    uplink_bytes: int
    downlink_bytes: int
    share: float
    price: float
    payment: float
    predicted: float
    corrected: float
    error_before: float
    error_after: float
    measured: float
    local_only: float
    edge_only: float
    edge_share: float
    max_abs_difference: float
    max_relative_difference: float
    outputs_match: bool
    messages: int


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the demo.

    equilibrium: the certificate (docs/certificates.md); rounds: posts until the allocation;
    refusals: the checker's reasons, if any.  ``failures`` is empty exactly when everything held.
    """

    scenario: Scenario
    tariff: str
    rows: tuple[ClientRow, ...]
    equilibrium: Mapping[str, Any]
    rounds: int
    wall_seconds: float
    refusals: tuple[str, ...] = ()

    @property
    def price(self) -> float:
        """The unit price everyone pays, credits/s per core."""
        return float(self.equilibrium["price"])

    @property
    def total(self) -> float:
        """Total demand F, cores."""
        return float(self.equilibrium["total_demand"])

    @property
    def max_regret(self) -> float:
        """The largest regret any client was certified to have, credits/s."""
        return float(self.equilibrium["max_regret"])

    @property
    def failures(self) -> tuple[str, ...]:
        """Why the run must not be trusted: one line each."""
        wrong = [f"certificate refused: {reason}" for reason in self.refusals]
        wrong += [
            f"{row.name}: outputs of the split model differ from the whole model's by "
            f"{row.max_abs_difference:.3g} (allowed: rtol {RTOL:g}, atol {ATOL:g})"
            for row in self.rows
            if not row.outputs_match
        ]
        if self.total > self.scenario.capacity:
            wrong.append(f"sold {self.total:g} of {self.scenario.capacity:g} cores")
        return tuple(wrong)


def assemble(
    scenario: Scenario,
    tariff: str,
    done: Mapping[str, Mapping[str, Any]],
    wall_seconds: float,
) -> Run:
    """The run from every participant's ``done`` event: its rows, and its certificate.

    Each client proves its own row; the public part is the same in all of them, so joining
    needs nobody's private numbers but those the rows show.
    """
    from dds.market.certificate import assemble as join

    ordered = [done[participant.name] for participant in scenario.participants]
    results = [event["strategies"]["dds"] for event in ordered]
    certificate = join(_public(results), [result["certificate_row"] for result in results])
    return Run(
        scenario=scenario,
        tariff=tariff,
        rows=tuple(
            client_row(participant, event)
            for participant, event in zip(scenario.participants, ordered, strict=True)
        ),
        equilibrium=certificate,
        rounds=max(result["rounds"] for result in results),
        wall_seconds=wall_seconds,
    )


def _public(results: Sequence[Mapping[str, Any]]) -> Public:
    """What every client was told of the outcome; InternalError if they were told otherwise."""
    from dds.market.certificate import Public
    from dds.market.tariff_json import tariff_from_json

    told = results[0]["public"]
    if any(result["public"] != told for result in results):
        raise InternalError("the clients were told different prices or rules")
    quantum = told["quantum"]
    return Public(
        concept=told["concept"],
        tariff=tariff_from_json(told["tariff"]),
        quantum=None if quantum is None else Fraction(quantum),
        price=told["price"],
        price_below=told["price_below"],
    )


def client_row(participant: Participant, done: Mapping[str, Any]) -> ClientRow:
    """The row of a participant from the ``done`` event of its ``mec-client``."""
    results = done["strategies"]
    dds, local, edge = (results[name] for name in ("dds", "local-only", "edge-only"))
    cut = dds["cut"]
    return ClientRow(
        name=participant.name,
        model=participant.model,
        slowdown=participant.slowdown,
        link=participant.link,
        operators_on_device=cut["operators_on_device"],
        operators_on_server=cut["operators_on_server"],
        uplink_bytes=cut["uplink_bytes"],
        downlink_bytes=cut["downlink_bytes"],
        share=dds["share"],
        price=dds["price"],
        payment=dds["payment"],
        predicted=dds["predicted_latency_s"],
        corrected=dds["corrected_latency_s"][-1],
        error_before=_error(dds["uncorrected_latency_s"], dds["measured_latency_s"]),
        error_after=_error(dds["corrected_latency_s"], dds["measured_latency_s"]),
        measured=median(dds["measured_latency_s"]),
        local_only=median(local["measured_latency_s"]),
        edge_only=median(edge["measured_latency_s"]),
        edge_share=edge["share"],
        max_abs_difference=max(r["max_abs_difference"] for r in results.values()),
        max_relative_difference=max(r["max_relative_difference"] for r in results.values()),
        outputs_match=all(r["outputs_match"] for r in results.values()),
        messages=dds["messages"],
    )


def _error(predicted: Sequence[float], measured: Sequence[float]) -> float:
    """Mean of |predicted / measured - 1| over the later half."""
    half = len(measured) // 2
    pairs = zip(predicted[half:], measured[half:], strict=True)
    return fmean(abs(a / b - 1.0) for a, b in pairs)


def run_document(run: Run, version: str) -> dict[str, Any]:
    """The run as the JSON document "dds-run/1" (docs/certificates.md)."""
    scenario = run.scenario
    return {
        "format": "dds-run/1",
        "version": version,
        "emulation": {
            "devices": "CPU time of this machine's core times slowdown",
            "core_slowdown": scenario.core_slowdown,
            "links": "shaped in the client",
        },
        "tariff": run.tariff,
        "capacity": scenario.capacity,
        "price": run.price,
        "total_demand": run.total,
        "rounds": run.rounds,
        "max_regret": run.max_regret,
        "messages_per_client": {row.name: row.messages for row in run.rows},
        "wall_seconds": run.wall_seconds,
        "failures": list(run.failures),
        "clients": [_row_document(row) for row in run.rows],
        "equilibrium": dict(run.equilibrium),
    }


def _row_document(row: ClientRow) -> dict[str, Any]:
    link = LINKS[row.link]
    return {
        "name": row.name,
        "model": row.model,
        "device_slowdown": row.slowdown,
        "link": {
            "kind": row.link,
            "uplink_mbps": link.uplink * 8e-6,
            "downlink_mbps": link.downlink * 8e-6,
            "rtt_s": link.rtt,
        },
        "operators_on_device": row.operators_on_device,
        "operators_on_server": row.operators_on_server,
        "uplink_bytes": row.uplink_bytes,
        "downlink_bytes": row.downlink_bytes,
        "share": row.share,
        "price": row.price,
        "payment": row.payment,
        "predicted_latency_s": row.predicted,
        "corrected_latency_s": row.corrected,
        "prediction_error": {"before": row.error_before, "after": row.error_after},
        "measured_latency_s": row.measured,
        "local_only_latency_s": row.local_only,
        "edge_only_latency_s": row.edge_only,
        "edge_only_share": row.edge_share,
        "max_abs_difference": row.max_abs_difference,
        "max_relative_difference": row.max_relative_difference,
        "outputs_match": row.outputs_match,
    }
