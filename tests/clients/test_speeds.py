"""Seconds of a device and its helpers, as workers of a schedule."""

import asyncio
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import pytest

from clients.errors import CallFailed
from clients.helper_channel import HelperChannel
from clients.prepare import Prepared
from clients.speeds import SliceOverhead, Speeds, measure_speeds
from clients.team import Member
from dds.model import load_model
from dds.model.split import split_tiers
from dds.profile.measure import measure
from dds.profile.profile import Profile
from dds.session.helping import Description, Tenancy
from dds.session.profiling import ProfileRequest
from dds.session.upload import ModelReceipt
from dds.testing.models import text_model

MODEL = text_model(
    """(float[1,16,24,24] x, float[32,16,3,3] w1, float[32,32,3,3] w2)
        => (float[1,32,24,24] y) {
        a = Conv <pads = [1,1,1,1]> (x, w1)
        b = Relu(a)
        y = Conv <pads = [1,1,1,1]> (b, w2)
    }"""
)
GRAPH = load_model(MODEL)
PROFILE = measure(MODEL, GRAPH, repeats=3)
PREPARED = Prepared(MODEL, GRAPH, PROFILE, MODEL)


class Measuring:
    """A helper that measures, once it has been asked often enough."""

    address = "helper:1"

    def __init__(self, profile: Profile, busy: int = 0, *, able: bool = True) -> None:
        self.profile = profile
        self.busy = busy
        self.able = able
        self.brought: list[str] = []

    async def put_model(self, _lease: str, digest: str, _model: bytes) -> ModelReceipt:
        self.brought.append(digest)
        return ModelReceipt(digest, known=False)

    async def profile_model(self, _request: ProfileRequest) -> Profile:
        if not self.able:
            raise CallFailed("INVALID_ARGUMENT", "it fails")
        self.busy -= 1
        if self.busy >= 0:
            raise CallFailed("RESOURCE_EXHAUSTED", "busy", retry_after=0.001)
        return self.profile


def member(channel: Measuring, platform: str, slowdown: float = 1.0) -> Member:
    description = Description("h", "onnxruntime", platform, slowdown)
    return Member(cast("HelperChannel", channel), description, Tenancy("l", 9.0), 1e9, 0.0)


def measured(one: Member, *, slices: bool = False) -> tuple[Speeds, list[Mapping[str, Any]]]:
    events: list[Mapping[str, Any]] = []
    found = asyncio.run(measure_speeds(PREPARED, [one], events.append, slices=slices))
    return found, events


def test_a_helper_of_this_platform_is_not_measured() -> None:
    channel = Measuring(PROFILE)
    one = member(channel, PROFILE.platform, 3.0)
    speeds, events = measured(one)
    assert not channel.brought
    assert not events
    device, helper = speeds.workers(GRAPH, 2.0, [one])
    assert sum(cast("np.ndarray", device.timing)) == pytest.approx(2.0 * sum(PROFILE.seconds))
    assert sum(cast("np.ndarray", helper.timing)) == pytest.approx(3.0 * sum(PROFILE.seconds))
    assert (device.overhead, helper.overhead) == (2e-4, pytest.approx(3e-4))


def test_helpers_of_one_name_are_called_by_their_addresses() -> None:
    one, other = Measuring(PROFILE), Measuring(PROFILE)
    other.address = "helper:2"
    team = [member(channel, PROFILE.platform) for channel in (one, other)]
    times = dict.fromkeys(("a", "b", "y"), 1.0)
    speeds = Speeds(times, {"helper:1": times, "helper:2": times})
    assert [w.name for w in speeds.workers(GRAPH, 1.0, team)] == ["device", "helper:1", "helper:2"]
    assert [w.name for w in speeds.workers(GRAPH, 1.0, team[:1])] == ["device", "h"]


@pytest.mark.parametrize("busy", [0, 3])
def test_a_helper_of_another_platform_measures_the_model(busy: int) -> None:
    channel = Measuring(PROFILE.scaled(10.0), busy)
    one = member(channel, "another")
    speeds, events = measured(one)
    assert channel.brought == [GRAPH.digest]
    assert [event["event"] for event in events] == ["preparing", "measured there"]
    _, helper = speeds.workers(GRAPH, 1.0, [one])
    assert sum(cast("np.ndarray", helper.timing)) == pytest.approx(10.0 * sum(PROFILE.seconds))


@pytest.mark.parametrize("channel", [Measuring(PROFILE, 99), Measuring(PROFILE, able=False)])
def test_a_helper_that_cannot_measure_is_taken_to_be_like_the_device(channel: Measuring) -> None:
    speeds, events = measured(member(channel, "another"))
    assert [event["event"] for event in events] == ["preparing", "not measured there"]
    assert speeds.helpers["helper:1"] == speeds.device


def test_slices_are_measured_on_the_device() -> None:
    speeds, events = measured(member(Measuring(PROFILE), PROFILE.platform), slices=True)
    assert [event["event"] for event in events] == ["preparing", "slices measured"]
    assert speeds.slices != SliceOverhead()
    assert 0.0 <= speeds.slices.start < 1.0


def test_a_part_of_the_model_takes_its_part_of_the_seconds() -> None:
    speeds = Speeds({"a": 1.0, "b": 2.0, "y": 4.0}, {})
    part = split_tiers(MODEL, GRAPH, [0, 1], [0, 1, 2]).device.model
    assert part is not None
    (device,) = speeds.workers(load_model(part), 1.0, [])
    assert list(cast("np.ndarray", device.timing)) == [1.0, 2.0]
