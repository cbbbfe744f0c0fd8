"""Where the server's seconds come from: the best source there is."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from clients.config import AgentConfig
from clients.errors import CallFailed
from clients.prepare import Prepared, prepare
from clients.served import server_costs
from clients.slowdown import Slowdown
from dds.costs import DEVICES, Link, roofline
from dds.errors import InvalidInput
from dds.market.tariff import Clearing
from dds.profile.profile import Profile
from dds.profile.runtime import Runtime
from dds.session.messages import ReferenceCore, Terms
from dds.session.profiling import ProfileRequest
from dds.session.upload import ModelReceipt

CONFIG = AgentConfig(
    *("cam", "zoo:shufflenet", Slowdown(2.0), Link(1e9, 1e9), 1.0),
    runtime=Runtime(optimisation="none"),
    repeats=3,
    measure_cuts=0.0,
)
EDGE = DEVICES["edge-core"]


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    return prepare(CONFIG, lambda _: None)


class Busy:
    """A server that measures a model once it has refused so many times."""

    def __init__(self, profile: Profile, refusals: int, error: CallFailed) -> None:
        self.profile, self.refusals, self.error = profile, refusals, error
        self.brought: list[str] = []
        self.asked = 0

    async def put_model(self, _lease: str, digest: str, _model: bytes) -> ModelReceipt:
        self.brought.append(digest)
        return ModelReceipt(digest, known=False)

    async def profile_model(self, _request: ProfileRequest) -> tuple[Profile, bool]:
        self.asked += 1
        if self.asked <= self.refusals:
            raise self.error
        return self.profile, False


def terms(platform: str) -> Terms:
    core = ReferenceCore(
        EDGE.name, EDGE.flops_per_s, EDGE.bytes_per_s, EDGE.overhead, platform, slowdown=3.0
    )
    return Terms(Clearing(1.0), 1.0, core)


def found(
    prepared: Prepared, server: Any, platform: str, config: AgentConfig = CONFIG
) -> tuple[Any, str, list[Mapping[str, Any]]]:
    told: list[Mapping[str, Any]] = []
    costs, source = asyncio.run(
        server_costs(config, prepared, server, "lease", terms(platform), told.append, cuts=True)
    )
    return costs, source, told


SOON = CallFailed("RESOURCE_EXHAUSTED", "busy", retry_after=0.001)


def test_on_the_same_platform_one_profile_serves_both(prepared: Prepared) -> None:
    costs, source, _ = found(prepared, None, prepared.profile.platform)
    assert source == "own profile"
    assert costs.server == pytest.approx(1.5 * costs.device)


def test_another_platform_is_asked_again_while_it_is_busy(prepared: Prepared) -> None:
    halves = tuple(0.5 * seconds for seconds in prepared.profile.seconds)
    server = Busy(replace(prepared.profile, platform="there", seconds=halves), 2, SOON)
    costs, source, told = found(prepared, server, "there")
    assert source == "server's profile"
    assert (server.asked, server.brought) == (3, [prepared.graph.digest])
    assert costs.server == pytest.approx(0.75 * costs.device)
    assert told[-1]["event"] == "measured there"


@pytest.mark.parametrize(
    "error",
    [SOON, CallFailed("UNIMPLEMENTED", "an older server"), CallFailed("INVALID_ARGUMENT", "loops")],
    ids=lambda error: error.status,
)
def test_where_nothing_can_be_measured_the_roofline_will_do(
    prepared: Prepared, error: CallFailed
) -> None:
    server = Busy(prepared.profile, 100, error)
    costs, source, told = found(prepared, server, "there")
    assert source == "roofline"
    assert costs.server == pytest.approx(roofline(prepared.graph, EDGE))
    assert told[-1] == {"event": "not measured there", "because": str(error)}
    assert server.asked <= 5


def test_a_model_that_takes_too_long_to_bring_is_not_brought(prepared: Prepared) -> None:
    server = Busy(prepared.profile, 0, SOON)
    slow = replace(CONFIG, link=Link(len(prepared.model) / 61.0, 1e9))
    assert found(prepared, server, "there", slow)[1] == "roofline"
    assert server.brought == []


def test_other_failures_are_not_hidden(prepared: Prepared) -> None:
    with pytest.raises(CallFailed, match="gone"):
        found(prepared, Busy(prepared.profile, 1, CallFailed("UNAVAILABLE", "gone")), "there")


def test_a_profile_of_another_model_is_refused(prepared: Prepared) -> None:
    names = tuple(f"not {name}" for name in prepared.profile.operators)
    with pytest.raises(InvalidInput, match="does not list the operators"):
        found(prepared, Busy(replace(prepared.profile, operators=names), 0, SOON), "there")
