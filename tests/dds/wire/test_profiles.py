"""Profiles survive the wire, and no bytes get past their codec unchecked."""

import contextlib
import math

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from dds.errors import InvalidInput
from dds.profile.profile import Profile
from dds.profile.runtime import OPTIMISATIONS, Runtime
from dds.session.profiling import ProfileRequest
from dds.wire import market_pb2 as pb
from dds.wire import profiles as codec

DIGEST = "0123456789abcdef" * 4
Reply = pb.ProfileModelReply

seconds = st.floats(1e-7, 1e3)


@st.composite
def measured(draw: st.DrawFn) -> Profile:
    """Any profile: operators dealt out to groups, numbers as they come."""
    sizes = draw(st.lists(st.integers(1, 4), max_size=5))
    starts = [sum(sizes[:k]) for k in range(len(sizes))]
    groups = tuple(tuple(range(a, a + n)) for a, n in zip(starts, sizes, strict=True))
    count = len(groups)
    return Profile(
        digest=DIGEST,
        platform=draw(st.sampled_from(["", "some CPU, onnxruntime 1.31"])),
        runtime=Runtime(draw(st.integers(1, 64)), draw(st.sampled_from(list(OPTIMISATIONS)))),
        operators=tuple(f"operator {g}" for g in range(count)),
        groups=groups,
        seconds=tuple(draw(seconds) for _ in groups),
        noise=tuple(draw(st.floats(0.0, 1.0)) for _ in groups),
        whole=draw(seconds),
        kernels=draw(seconds),
        spread=draw(st.floats(0.0, 10.0)),
        repeats=draw(st.integers(1, 1000)),
    )


@settings(deadline=None, max_examples=60)
@given(measured(), st.booleans())
def test_profiles_come_back(profile: Profile, known: bool) -> None:
    data = codec.profile_to_proto(profile, known=known).SerializeToString()
    assert codec.profile_from_proto(Reply.FromString(data)) == (profile, known)


@settings(deadline=None, max_examples=50)
@given(st.builds(ProfileRequest, st.text(), st.just(DIGEST), st.integers(0, 2**32 - 1)))
def test_requests_come_back(request: ProfileRequest) -> None:
    data = codec.request_to_proto(request).SerializeToString()
    assert codec.request_from_proto(pb.ProfileModelRequest.FromString(data)) == request


@settings(deadline=None, max_examples=120)
@given(st.binary(max_size=80))
def test_any_bytes_are_a_profile_or_refused(data: bytes) -> None:
    for message, read in (
        (Reply, codec.profile_from_proto),
        (pb.ProfileModelRequest, codec.request_from_proto),
    ):
        with contextlib.suppress(DecodeError, InvalidInput):
            read(message.FromString(data))


def reply(**changes) -> Reply:
    fields = {
        "digest": DIGEST,
        "runtime": Reply.Runtime(threads=1, optimisation="all"),
        "groups": [Reply.Group(name="conv", operators=[0, 1], seconds=1e-3)],
        "whole": 1e-3,
        "kernels": 1e-3,
        "repeats": 1,
    }
    return Reply(**{**fields, **changes})


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"groups": [Reply.Group(name="a", operators=[0])]}, "'a' takes 0.0 s"),
        ({"groups": [Reply.Group(name="a", operators=[0], seconds=math.nan)]}, "takes nan s"),
        ({"groups": [Reply.Group(name="a", operators=[0, 0], seconds=1.0)]}, "in one group"),
        ({"groups": [Reply.Group(name="a", seconds=1.0)]}, "none empty"),
        ({"groups": [Reply.Group(name="a", operators=[0], seconds=1.0, noise=-1.0)]}, "noise"),
        ({"whole": math.inf}, "whole"),
        ({"whole": 0.0}, "whole"),
        ({"kernels": math.nan}, "kernels"),
        ({"spread": -1.0}, "spread"),
        ({"repeats": 0}, "repeats"),
        ({"runtime": Reply.Runtime(threads=0, optimisation="all")}, "threads"),
        ({"runtime": Reply.Runtime(threads=1, optimisation="most")}, "optimisation"),
        ({"platform": "x" * 1001}, r"profile\.platform"),
        ({"platform": "two\nlines"}, r"profile\.platform"),
    ],
)
def test_what_no_measurement_gives_is_refused(changes, complaint: str) -> None:
    assert codec.profile_from_proto(reply())[0].groups == ((0, 1),)
    with pytest.raises(InvalidInput, match=complaint):
        codec.profile_from_proto(reply(**changes))


@pytest.mark.parametrize("digest", ["", "0", DIGEST.upper(), DIGEST + "0"])
def test_a_request_names_a_digest(digest: str) -> None:
    with pytest.raises(InvalidInput, match=r"profile\.digest"):
        codec.request_from_proto(pb.ProfileModelRequest(digest=digest))


@given(st.floats(0.0, 999_999.0))
def test_a_pause_is_told_in_whole_milliseconds_and_never_shortened(wait: float) -> None:
    told = codec.pushback_from_trailers(codec.pushback_to_trailers(wait))
    assert told is not None
    assert wait - 1e-9 <= told <= wait + 0.0011


@pytest.mark.parametrize("value", ["-1", "", "1.5", "9" * 10, "٣", b"100"])
def test_what_is_no_pause_is_none(value: str | bytes) -> None:
    assert codec.pushback_from_trailers([("other", "5"), (codec.PUSHBACK_KEY, value)]) is None
    assert codec.pushback_from_trailers(None) is None
