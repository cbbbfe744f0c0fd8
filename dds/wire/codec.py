"""The dataclasses of ``dds.session`` as protobuf messages: ``x_to_proto`` and ``x_from_proto``.

Reading is safe on hostile input: whatever the bytes say, the result is a message that passed
its own checks, or InvalidInput naming the field.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import Any

from google.protobuf.message import Message

from dds.errors import InvalidInput
from dds.market.tariff_base import Tariff
from dds.market.tariff_json import tariff_from_json
from dds.session import messages as m
from dds.session.states import MarketState
from dds.session.status import MarketStatus, MemberStatus
from dds.session.upload import CHUNK_BYTES, ModelHeader, ModelReceipt
from dds.wire import market_pb2 as pb

__all__ = [
    "chunk_from_proto",
    "chunk_to_proto",
    "client_message_from_proto",
    "client_message_to_proto",
    "core_from_proto",
    "core_to_proto",
    "receipt_from_proto",
    "receipt_to_proto",
    "server_message_from_proto",
    "server_message_to_proto",
    "status_from_proto",
    "status_to_proto",
    "tariff_from_proto",
    "tariff_to_proto",
    "terms_from_proto",
    "terms_to_proto",
]

_FRACTION = re.compile(r"[0-9]{1,60}(?:/0*[1-9][0-9]{0,59})?")


def _chosen(message: Message, oneof: str, where: str) -> str:
    """Which alternative of a oneof is set; raises InvalidInput when none is."""
    field = message.WhichOneof(oneof)
    if field is None:
        raise InvalidInput(f"{where}: no {oneof}, or one this version does not know")
    return str(field)


def _need(message: Message, field: str, where: str) -> Any:
    if not message.HasField(field):
        raise InvalidInput(f"{where}.{field} is missing")
    return getattr(message, field)


# ---- what is for sale ----------------------------------------------------------------------


def tariff_to_proto(tariff: Tariff) -> pb.Tariff:
    """A tariff; a capacity without a limit is left out."""
    fields = {k: v for k, v in tariff.to_json().items() if v is not None}
    kind = fields.pop("kind")
    message = pb.Tariff()
    part = getattr(message, kind)
    part.SetInParent()
    part.MergeFrom(type(part)(**fields))
    return message


def tariff_from_proto(message: pb.Tariff) -> Tariff:
    """A tariff; raises InvalidInput or Infeasible for parameters no tariff has."""
    kind = _chosen(message, "kind", "tariff")
    part = getattr(message, kind)
    data: dict[str, Any] = {"kind": kind}
    for field in part.DESCRIPTOR.fields:
        value = getattr(part, field.name)
        if field.has_presence:
            data[field.name] = value if part.HasField(field.name) else None
        else:
            data[field.name] = value if isinstance(value, float | int) else list(value)
    return tariff_from_json(data)


def core_to_proto(core: m.ReferenceCore) -> pb.ReferenceCore:
    """The unit of shares."""
    return pb.ReferenceCore(
        name=core.name,
        flops_per_s=core.flops_per_s,
        bytes_per_s=core.bytes_per_s,
        overhead=core.overhead,
        platform=core.platform,
        slowdown=core.slowdown,
    )


def core_from_proto(message: pb.ReferenceCore) -> m.ReferenceCore:
    """The unit of shares; raises InvalidInput naming the field that is out of range."""
    return m.ReferenceCore(
        name=message.name,
        flops_per_s=message.flops_per_s,
        bytes_per_s=message.bytes_per_s,
        overhead=message.overhead,
        platform=message.platform,
        slowdown=message.slowdown,
    )


def terms_to_proto(terms: m.Terms) -> pb.Terms:
    """What is for sale."""
    return pb.Terms(
        tariff=tariff_to_proto(terms.tariff),
        quantum=None if terms.quantum is None else str(terms.quantum),
        capacity=terms.capacity,
        core=core_to_proto(terms.core),
    )


def terms_from_proto(message: pb.Terms) -> m.Terms:
    """What is for sale; raises InvalidInput naming the field that is missing or out of range."""
    quantum = None
    if message.HasField("quantum"):
        if not _FRACTION.fullmatch(message.quantum):
            raise InvalidInput("terms.quantum: need a fraction of whole numbers such as 1/1000")
        quantum = Fraction(message.quantum)
    return m.Terms(
        tariff=tariff_from_proto(_need(message, "tariff", "terms")),
        capacity=message.capacity,
        core=core_from_proto(_need(message, "core", "terms")),
        quantum=quantum,
    )


# ---- client to server ----------------------------------------------------------------------


def client_message_to_proto(message: m.ClientMessage) -> pb.ClientMessage:
    """What a client says."""
    match message:
        case m.Join(name, nonce, version):
            return pb.ClientMessage(join=pb.Join(name=name, nonce=nonce, version=version))
        case m.Bid(lease, epoch, round_, share):
            return pb.ClientMessage(bid=pb.Bid(lease=lease, epoch=epoch, round=round_, share=share))
        case m.Accept(lease, epoch):
            return pb.ClientMessage(accept=pb.Accept(lease=lease, epoch=epoch))
        case m.Renew(lease, revision):
            return pb.ClientMessage(renew=pb.Renew(lease=lease, revision=revision))
        case m.Release(lease):
            return pb.ClientMessage(release=pb.Release(lease=lease))


def client_message_from_proto(message: pb.ClientMessage) -> m.ClientMessage:
    """What a client says; raises InvalidInput for anything that is not a well-formed message."""
    part = getattr(message, _chosen(message, "message", "client message"))
    match part:
        case pb.Join():
            return m.Join(part.name, part.nonce, part.version)
        case pb.Bid():
            return m.Bid(part.lease, part.epoch, part.round, part.share)
        case pb.Accept():
            return m.Accept(part.lease, part.epoch)
        case pb.Renew():
            return m.Renew(part.lease, part.revision)
        case _:
            return m.Release(part.lease)


# ---- server to client ----------------------------------------------------------------------


def _bound_to_proto(bound: float) -> float | None:
    return None if bound == math.inf else bound


def _post_to_proto(post: m.Post) -> pb.Post:
    message = pb.Post(lease=post.lease, epoch=post.epoch, round=post.round, revision=post.revision)
    match post.question:
        case m.Holding(others, share):
            message.probe.CopyFrom(pb.Post.Probe(others=others, share=share))
        case m.Quotation(load, price, slope, at_least, at_most):
            message.quote.CopyFrom(
                pb.Post.Quote(
                    load=_bound_to_proto(load),
                    price=price,
                    slope=slope,
                    at_least=at_least,
                    at_most=_bound_to_proto(at_most),
                )
            )
    return message


def _post_from_proto(message: pb.Post) -> m.Post:
    question: m.Quotation | m.Holding
    if _chosen(message, "question", "post") == "quote":
        quote = message.quote
        load = quote.load if quote.HasField("load") else math.inf
        most = quote.at_most if quote.HasField("at_most") else math.inf
        question = m.Quotation(load, quote.price, quote.slope, quote.at_least, most)
    else:
        question = m.Holding(message.probe.others, message.probe.share)
    return m.Post(message.lease, message.epoch, message.round, question, message.revision)


def _allocation_to_proto(allocation: m.Allocation) -> pb.Allocation:
    below = allocation.below
    return pb.Allocation(
        lease=allocation.lease,
        epoch=allocation.epoch,
        share=allocation.share,
        price=allocation.price,
        total=allocation.total,
        others=allocation.others,
        payment=allocation.payment,
        rounds=allocation.rounds,
        below=below if below is None else pb.Allocation.Below(price=below.price, share=below.share),
        revision=allocation.revision,
    )


def _allocation_from_proto(message: pb.Allocation) -> m.Allocation:
    below = message.below if message.HasField("below") else None
    return m.Allocation(
        lease=message.lease,
        epoch=message.epoch,
        share=message.share,
        price=message.price,
        total=message.total,
        others=message.others,
        payment=message.payment,
        rounds=message.rounds,
        below=m.Below(below.price, below.share) if below is not None else None,
        revision=message.revision,
    )


def server_message_to_proto(message: m.ServerMessage) -> pb.ServerMessage:
    """What a server says."""
    match message:
        case m.Welcome():
            return pb.ServerMessage(
                welcome=pb.Welcome(
                    nonce=message.nonce,
                    lease=message.lease,
                    lease_time=message.lease_time,
                    terms=terms_to_proto(message.terms),
                    version=message.version,
                )
            )
        case m.Post():
            return pb.ServerMessage(post=_post_to_proto(message))
        case m.Allocation():
            return pb.ServerMessage(allocation=_allocation_to_proto(message))
        case m.Renewed(lease, epoch, revision):
            return pb.ServerMessage(renewed=pb.Renewed(lease=lease, epoch=epoch, revision=revision))
        case m.Released(lease):
            return pb.ServerMessage(released=pb.Released(lease=lease))
        case m.Refusal(code, text, subject):
            number = pb.Refusal.Code.Name(code.value)  # checks that the two enums agree
            return pb.ServerMessage(refusal=pb.Refusal(code=number, message=text, subject=subject))


def server_message_from_proto(message: pb.ServerMessage) -> m.ServerMessage:
    """What a server says; raises InvalidInput for anything that is not a well-formed message."""
    part = getattr(message, _chosen(message, "message", "server message"))
    match part:
        case pb.Welcome():
            return m.Welcome(
                nonce=part.nonce,
                lease=part.lease,
                lease_time=part.lease_time,
                terms=terms_from_proto(_need(part, "terms", "welcome")),
                version=part.version,
            )
        case pb.Post():
            return _post_from_proto(part)
        case pb.Allocation():
            return _allocation_from_proto(part)
        case pb.Renewed():
            return m.Renewed(part.lease, part.epoch, part.revision)
        case pb.Released():
            return m.Released(part.lease)
        case _:
            codes = {code.value: code for code in m.Code}
            if part.code not in codes:
                raise InvalidInput(f"refusal.code is {part.code}; this version does not know it")
            return m.Refusal(codes[part.code], part.message, part.subject)


# ---- models --------------------------------------------------------------------------------


def chunk_to_proto(part: ModelHeader | bytes) -> pb.ModelChunk:
    """The header of an upload, or some of its bytes."""
    if isinstance(part, bytes):
        return pb.ModelChunk(data=part)
    header = pb.ModelHeader(lease=part.lease, digest=part.digest, size=part.size)
    return pb.ModelChunk(header=header)


def chunk_from_proto(message: pb.ModelChunk) -> ModelHeader | bytes:
    """The header of an upload, or some of its bytes; raises InvalidInput for neither."""
    if _chosen(message, "part", "model chunk") == "data":
        if len(message.data) > CHUNK_BYTES:
            raise InvalidInput(f"model chunk: {len(message.data)} bytes; at most {CHUNK_BYTES}")
        return message.data
    header = message.header
    return ModelHeader(header.lease, header.digest, header.size)


def receipt_to_proto(receipt: ModelReceipt) -> pb.PutModelReply:
    """The answer to an upload."""
    return pb.PutModelReply(digest=receipt.digest, known=receipt.known)


def receipt_from_proto(message: pb.PutModelReply) -> ModelReceipt:
    """The answer to an upload; raises InvalidInput for a malformed digest."""
    return ModelReceipt(message.digest, message.known)


# ---- status --------------------------------------------------------------------------------


def status_to_proto(status: MarketStatus) -> pb.StatusReply:
    """The market at one moment."""
    return pb.StatusReply(
        state=status.state.value,
        epoch=status.epoch,
        round=status.round,
        terms=terms_to_proto(status.terms),
        price=status.price,
        total=status.total,
        members=[
            pb.StatusReply.Member(
                name=member.name,
                share=member.share,
                payment=member.payment,
                received=member.received,
                sent=member.sent,
            )
            for member in status.members
        ],
    )


def status_from_proto(message: pb.StatusReply) -> MarketStatus:
    """The market at one moment; raises InvalidInput for an unknown state or malformed terms."""
    states = {state.value: state for state in MarketState}
    if message.state not in states:
        raise InvalidInput(f"status.state is {message.state!r}; known are {', '.join(states)}")
    return MarketStatus(
        state=states[message.state],
        epoch=message.epoch,
        round=message.round,
        terms=terms_from_proto(_need(message, "terms", "status")),
        price=message.price if message.HasField("price") else None,
        total=message.total if message.HasField("total") else None,
        members=tuple(
            MemberStatus(
                name=member.name,
                share=member.share,
                payment=member.payment,
                received=member.received,
                sent=member.sent,
            )
            for member in message.members
        ),
    )
