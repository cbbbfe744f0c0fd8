"""Every message survives the wire, and no bytes get past the codec unchecked."""

import contextlib
import math

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from dds.errors import DdsError, InvalidInput
from dds.market.tariff import Clearing, Flat
from dds.session.messages import Bid, Code, Join, Quotation, ReferenceCore, Terms, Welcome
from dds.session.states import MarketState
from dds.session.status import MarketStatus, MemberStatus
from dds.session.upload import CHUNK_BYTES, ModelHeader, ModelReceipt
from dds.testing.messages import client_messages, server_messages, terms
from dds.wire import codec
from dds.wire import market_pb2 as pb

CORE = ReferenceCore("edge-core", 2e10, 1e10, 5e-6)
DIGEST = "0123456789abcdef" * 4

counts = st.integers(0, 2**64 - 1)
numbers = st.floats(0.0, allow_nan=False)
members = st.builds(MemberStatus, st.text(), numbers, numbers, counts, counts)
statuses = st.builds(
    MarketStatus,
    st.sampled_from(MarketState),
    counts,
    counts,
    terms(),
    st.none() | numbers,
    st.none() | numbers,
    st.lists(members, max_size=3).map(tuple),
)


def over_the_wire(message):
    return type(message).FromString(message.SerializeToString())


@settings(deadline=None, max_examples=90)
@given(client_messages())
def test_client_messages_come_back(message) -> None:
    proto = over_the_wire(codec.client_message_to_proto(message))
    assert codec.client_message_from_proto(proto) == message


@settings(deadline=None, max_examples=120)
@given(server_messages())
def test_server_messages_come_back(message) -> None:
    proto = over_the_wire(codec.server_message_to_proto(message))
    assert codec.server_message_from_proto(proto) == message


@settings(deadline=None, max_examples=60)
@given(statuses)
def test_status_comes_back(status: MarketStatus) -> None:
    assert codec.status_from_proto(over_the_wire(codec.status_to_proto(status))) == status


@settings(deadline=None, max_examples=30)
@given(
    st.binary(max_size=100)
    | st.builds(ModelHeader, st.text(), st.just(DIGEST), st.integers(1, 2**63 - 1))
)
def test_uploads_come_back(part: ModelHeader | bytes) -> None:
    assert codec.chunk_from_proto(over_the_wire(codec.chunk_to_proto(part))) == part


@pytest.mark.parametrize("known", [True, False])
def test_receipts_come_back(known: bool) -> None:
    receipt = ModelReceipt(DIGEST, known)
    assert codec.receipt_from_proto(over_the_wire(codec.receipt_to_proto(receipt))) == receipt


def test_an_infinite_capacity_is_left_out() -> None:
    proto = codec.tariff_to_proto(Flat(0.5))
    assert not proto.flat.HasField("capacity")
    assert codec.tariff_from_proto(proto) == Flat(0.5)


def test_both_enums_of_codes_agree() -> None:
    names = {value.name.removeprefix("CODE_"): value.number for value in _codes()}
    assert {code.name: code.value for code in Code} | {"UNSPECIFIED": 0} == names


def _codes():
    return pb.Refusal.DESCRIPTOR.enum_types_by_name["Code"].values


@settings(deadline=None, max_examples=180)
@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_read_or_refused(data: bytes) -> None:
    for kind, read in (
        (pb.ClientMessage, codec.client_message_from_proto),
        (pb.ServerMessage, codec.server_message_from_proto),
        (pb.ModelChunk, codec.chunk_from_proto),
        (pb.StatusReply, codec.status_from_proto),
    ):
        with contextlib.suppress(DecodeError, DdsError):
            assert read(kind.FromString(data)) is not None


BAD_CLIENT = {
    "nothing": (pb.ClientMessage(), "client message: no message"),
    "nan": (pb.ClientMessage(bid=pb.Bid(lease="l", share=math.nan)), "bid.share is nan"),
    "negative": (pb.ClientMessage(bid=pb.Bid(lease="l", share=-1.0)), "bid.share is -1.0"),
    "infinite": (pb.ClientMessage(bid=pb.Bid(lease="l", share=math.inf)), "bid.share is inf"),
    "no lease": (pb.ClientMessage(bid=pb.Bid(share=1.0)), "bid.lease is empty"),
    "no name": (pb.ClientMessage(join=pb.Join(nonce="n")), "join.name is empty"),
    "long": (pb.ClientMessage(join=pb.Join(name="x" * 129, nonce="n")), "join.name: need"),
    "newline": (pb.ClientMessage(release=pb.Release(lease="a\nb")), "release.lease: need"),
}


@pytest.mark.parametrize(("proto", "place"), BAD_CLIENT.values(), ids=BAD_CLIENT)
def test_bad_client_messages_are_refused(proto: pb.ClientMessage, place: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        codec.client_message_from_proto(over_the_wire(proto))
    assert str(caught.value).startswith(place)


def welcome() -> pb.ServerMessage:
    sold = Terms(Clearing(4.0), 4.0, CORE)
    return codec.server_message_to_proto(Welcome("n", "l", 30.0, sold))


def test_bad_server_messages_are_refused() -> None:
    def changed(**paths):
        message = welcome()
        for path, value in paths.items():
            target, names = message.welcome, path.split("__")
            for name in names[:-1]:
                target = getattr(target, name)
            if value is None:
                target.ClearField(names[-1])
            else:
                setattr(target, names[-1], value)
        return message

    cases = {
        "welcome.terms is missing": changed(terms=None),
        "terms.tariff is missing": changed(terms__tariff=None),
        "terms.core is missing": changed(terms__core=None),
        "terms.quantum": changed(terms__quantum="0.001"),
        "terms.quantum: ": changed(terms__quantum="1/0"),
        "terms.capacity is nan": changed(terms__capacity=math.nan),
        "terms.tariff sells up to 4 cores": changed(terms__capacity=1.0),
        "tariff: no kind": changed(terms__tariff__clearing=None),
        "tariff.capacity": changed(terms__tariff__clearing__capacity=-1.0),
        "core.slowdown is 0.0": changed(terms__core__slowdown=0.0),
        "core.flops_per_s is inf": changed(terms__core__flops_per_s=math.inf),
        "post: no question": pb.ServerMessage(post=pb.Post(lease="l", epoch=1, round=1)),
        "post.quote.price is nan": pb.ServerMessage(
            post=pb.Post(lease="l", quote=pb.Post.Quote(price=math.nan))
        ),
        "post.probe.others is -1.0": pb.ServerMessage(
            post=pb.Post(lease="l", probe=pb.Post.Probe(others=-1.0))
        ),
        "refusal.code is 0": pb.ServerMessage(refusal=pb.Refusal(message="?")),
        "refusal.code is 99": pb.ServerMessage(refusal=pb.Refusal(code=99)),
        "allocation.price is inf": pb.ServerMessage(
            allocation=pb.Allocation(lease="l", price=math.inf)
        ),
        "allocation.below.price is nan": pb.ServerMessage(
            allocation=pb.Allocation(lease="l", below=pb.Allocation.Below(price=math.nan))
        ),
    }
    for place, proto in cases.items():
        with pytest.raises(InvalidInput) as caught:
            codec.server_message_from_proto(over_the_wire(proto))
        assert str(caught.value).startswith(place)


def test_bad_uploads_are_refused() -> None:
    for place, proto in {
        "model chunk: no part": pb.ModelChunk(),
        "model chunk: 1048577 bytes": pb.ModelChunk(data=bytes(CHUNK_BYTES + 1)),
        "model.digest": pb.ModelChunk(header=pb.ModelHeader(lease="l", digest="ABC", size=1)),
        "model.size is 0": pb.ModelChunk(header=pb.ModelHeader(lease="l", digest=DIGEST)),
    }.items():
        with pytest.raises(InvalidInput) as caught:
            codec.chunk_from_proto(proto)
        assert str(caught.value).startswith(place)
    with pytest.raises(InvalidInput, match=r"receipt\.digest"):
        codec.receipt_from_proto(pb.PutModelReply(digest="?"))
    with pytest.raises(InvalidInput, match=r"status\.state"):
        codec.status_from_proto(pb.StatusReply(state="asleep"))


def test_an_absent_load_is_no_bound() -> None:
    proto = pb.ServerMessage(post=pb.Post(lease="l", quote=pb.Post.Quote(price=1.0)))
    post = codec.server_message_from_proto(proto)
    assert post.question == Quotation(math.inf, 1.0, 0.0)


def test_messages_stay_comparable_and_hashable() -> None:
    assert len({Join("a", "n"), Join("a", "n"), Bid("l", 1, 1, 0.5)}) == 2
