"""What clients and helpers say survives the wire, and no bytes get past the codec unchecked."""

import contextlib
import hashlib

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dds.errors import DdsError, InvalidInput
from dds.parallel.program import Compute, Part, Program, Receive, Send
from dds.parallel.tiles import WHOLE, Region
from dds.session.helping import Assignment, Delivery, Description, Played, Tenancy
from dds.session.refusals import UnknownModel
from dds.wire import helper_pb2 as pb
from dds.wire import helping as codec
from dds.wire.tensors import DATATYPES

KEY = "k" * 24
names = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=8)
regions = st.just(WHOLE) | st.builds(
    lambda axis, low, size: Region(axis, low, low + size),
    st.integers(0, 4),
    st.integers(0, 1000),
    st.integers(1, 1000),
)
parts = st.builds(Part, names, regions)
seconds = st.floats(0.0, 1e6)
arrays = st.sampled_from([dtype for dtype, _ in DATATYPES.values()]).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0))
)


def digest_of(model: bytes) -> str:
    return hashlib.sha256(model).hexdigest()


@st.composite
def assignments(draw: st.DrawFn) -> Assignment:
    """Any program of worker 1: parts in, computed, and out again."""
    coming = draw(st.lists(parts, min_size=1, max_size=4, unique=True))
    made = draw(st.lists(parts, min_size=1, max_size=4, unique=True))
    peers = draw(st.dictionaries(st.integers(2, 5), st.just("10.0.0.2:50061"), max_size=3))
    workers = st.sampled_from([0, *peers])
    compute = Compute(
        draw(st.binary(min_size=1, max_size=5)),
        {f"in{k}": part for k, part in enumerate(coming)},
        {f"out{k}": part for k, part in enumerate(made)},
    )
    receives = [Receive(part, draw(workers)) for part in coming]
    sends = [Send(part, draw(workers), part) for part in made]
    return Assignment(draw(names), KEY, Program(1, (), (*receives, compute, *sends), ()), peers)


@settings(max_examples=60)
@given(assignments())
def test_programs_come_back(assignment: Assignment) -> None:
    data = codec.assignment_to_proto(assignment, digest_of).SerializeToString()
    models = {
        digest_of(step.model): step.model
        for step in assignment.program.steps
        if isinstance(step, Compute)
    }
    message = pb.LoadProgramRequest.FromString(data)
    assert codec.assignment_from_proto(message, models.__getitem__) == assignment


@settings(max_examples=60)
@given(st.integers(0, 2**63), st.integers(0, 63), parts, arrays)
def test_deliveries_come_back(run: int, sender: int, part: Part, values: np.ndarray) -> None:
    sent = Delivery(KEY, run, sender, part, values)
    for back in (
        codec.delivery_from_proto(
            pb.Delivery.FromString(codec.delivery_to_proto(sent).SerializeToString())
        ),
        codec.play_reply_from_proto(
            pb.PlayReply.FromString(codec.play_reply_to_proto(sent).SerializeToString())
        ),
    ):
        assert isinstance(back, Delivery)
        assert (back.key, back.run, back.sender, back.part) == (KEY, run, sender, part)
        assert back.values.dtype == values.dtype
        assert not back.values.flags.writeable
        np.testing.assert_array_equal(back.values, values)


@given(st.builds(Description, names, names, names, st.floats(1e-3, 1e3), st.integers(0, 9)))
def test_descriptions_come_back(helper: Description) -> None:
    data = codec.description_to_proto(helper).SerializeToString()
    assert codec.description_from_proto(pb.DescribeReply.FromString(data)) == helper


def test_the_rest_comes_back() -> None:
    tenancy, played = Tenancy("lease", 20.0), Played((0.5, 0.0))
    assert codec.tenancy_from_proto(codec.tenancy_to_proto(tenancy)) == tenancy
    assert codec.play_reply_from_proto(codec.play_reply_to_proto(played)) == played
    assert codec.blame_from_trailers((("other", "1"), *codec.blame_to_trailers(7))) == 7
    assert codec.blame_from_trailers(((codec.BLAME_KEY, "-1"),)) is None
    assert codec.blame_from_trailers(None) is None


@settings(max_examples=180)
@given(st.binary(max_size=80), st.data())
def test_garbage_is_refused_with_a_reason(garbage: bytes, data: st.DataObject) -> None:
    def missing(digest: str) -> bytes:
        raise UnknownModel(digest)

    good = codec.assignment_to_proto(data.draw(assignments()), digest_of).SerializeToString()
    cut = data.draw(st.integers(0, len(good)))
    readers = (
        (pb.LoadProgramRequest, lambda m: codec.assignment_from_proto(m, missing)),
        (pb.Delivery, codec.delivery_from_proto),
        (pb.PlayReply, codec.play_reply_from_proto),
        (pb.DescribeReply, codec.description_from_proto),
        (pb.JoinReply, codec.tenancy_from_proto),
    )
    for kind, read in readers:
        for data_ in (garbage, good[:cut] + garbage + good[cut:]):
            with contextlib.suppress(DecodeError):
                message = kind.FromString(data_)
                with contextlib.suppress(DdsError):
                    read(message)


Compute_ = pb.Step.Compute


@pytest.mark.parametrize(
    ("step", "complaint"),
    [
        (pb.Step(), r"steps\[0\]: no step"),
        (pb.Step(receive=pb.Step.Receive()), "part.tensor"),
        (pb.Step(receive=pb.Step.Receive(part=pb.Part(tensor="a\nb"))), "printable"),
        (pb.Step(compute=Compute_(digest="0" * 63)), "SHA-256"),
        (
            pb.Step(
                receive=pb.Step.Receive(
                    part=pb.Part(tensor="a", region=pb.Part.Region(axis=1, low=2, high=2))
                )
            ),
            "no interval",
        ),
        (
            pb.Step(
                compute=Compute_(
                    digest="0" * 64,
                    inputs=[Compute_.Binding(name="x", part=pb.Part(tensor="x"))] * 2,
                )
            ),
            "bound twice",
        ),
    ],
)
def test_malformed_steps_are_named(step: pb.Step, complaint: str) -> None:
    message = pb.LoadProgramRequest(lease="l", key=KEY, worker=1, steps=[step])
    with pytest.raises(InvalidInput, match=complaint):
        codec.assignment_from_proto(message, lambda _: b"")


def test_a_program_of_very_many_steps_is_refused() -> None:
    receive = pb.Step(receive=pb.Step.Receive(part=pb.Part(tensor="a")))
    message = pb.LoadProgramRequest(lease="l", key=KEY, worker=1, steps=[receive] * 10_001)
    with pytest.raises(InvalidInput, match="at most 10000"):
        codec.assignment_from_proto(message, lambda _: b"")
