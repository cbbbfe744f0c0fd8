"""What clients and helpers say, as protobuf messages and back.

As in :mod:`dds.wire.codec`, reading is safe on hostile input: the result passed its own checks,
or InvalidInput names what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from dds.errors import InvalidInput
from dds.parallel.program import Compute, Part, Program, Receive, Send, Step
from dds.parallel.tiles import WHOLE, Region
from dds.session.helping import (
    Assignment,
    Delivery,
    Description,
    Played,
    Tenancy,
    check_assignment,
    check_key,
)
from dds.session.upload import check_digest
from dds.wire import helper_pb2 as pb
from dds.wire.tensors import array_from_raw, array_to_raw, datatype_of

__all__ = [
    "BLAME_KEY",
    "assignment_from_proto",
    "assignment_to_proto",
    "blame_from_trailers",
    "blame_to_trailers",
    "delivery_from_proto",
    "delivery_to_proto",
    "description_from_proto",
    "description_to_proto",
    "play_reply_from_proto",
    "play_reply_to_proto",
    "tenancy_from_proto",
    "tenancy_to_proto",
]

#: Trailing metadata of a run that failed because of another worker: its number.
BLAME_KEY = "dds-blame"
_WORKER = re.compile("[0-9]{1,4}")
#: Most characters of a name, and steps of a program.
_LONGEST, _MOST_STEPS = 1000, 10_000
#: No tensor has more dimensions.
_MOST_AXES = 32


def blame_to_trailers(worker: int) -> tuple[tuple[str, str], ...]:
    """The trailing metadata of a run that failed because of a worker, by index."""
    return ((BLAME_KEY, str(worker)),)


def blame_from_trailers(trailers: Iterable[tuple[str, str | bytes]] | None) -> int | None:
    """The worker, by index, because of which a run failed; None where it is not said."""
    for key, value in trailers or ():
        if key == BLAME_KEY and _WORKER.fullmatch(str(value)):
            return int(value)
    return None


def description_to_proto(helper: Description) -> pb.DescribeReply:
    """Who a helper is."""
    return pb.DescribeReply(
        name=helper.name,
        engine=helper.engine,
        platform=helper.platform,
        slowdown=helper.slowdown,
        version=helper.version,
    )


def description_from_proto(message: pb.DescribeReply) -> Description:
    """Who a helper is; raises InvalidInput for text that cannot be shown, or a slowdown <= 0."""
    for field in ("name", "engine", "platform"):
        _check_text(f"helper.{field}", getattr(message, field))
    return Description(
        message.name, message.engine, message.platform, message.slowdown, message.version
    )


def tenancy_to_proto(tenancy: Tenancy) -> pb.JoinReply:
    """What a client holds at a helper."""
    return pb.JoinReply(lease=tenancy.lease, lease_time=tenancy.lease_time)


def tenancy_from_proto(message: pb.JoinReply) -> Tenancy:
    """What a client holds at a helper; raises InvalidInput for a lease time out of range."""
    _check_text("lease", message.lease)
    return Tenancy(message.lease, message.lease_time)


# ---- programs ------------------------------------------------------------------------------


def assignment_to_proto(
    assignment: Assignment, digest_of: Callable[[bytes], str]
) -> pb.LoadProgramRequest:
    """A program for one helper; models travel beforehand, under their SHA-256 digests."""
    return pb.LoadProgramRequest(
        lease=assignment.lease,
        key=assignment.key,
        worker=assignment.program.worker,
        peers=[
            pb.LoadProgramRequest.Peer(worker=worker, address=address)
            for worker, address in assignment.peers.items()
        ],
        steps=[_step_to_proto(step, digest_of) for step in assignment.program.steps],
    )


def assignment_from_proto(
    message: pb.LoadProgramRequest, model_of: Callable[[str], bytes]
) -> Assignment:
    """A program that a helper can carry out.

    model_of: the bytes of a model that was brought, by digest; what it raises is passed on.
    Raises InvalidInput for what is malformed, and like
    :func:`~dds.session.helping.check_assignment`.
    """
    if len(message.steps) > _MOST_STEPS:
        raise InvalidInput(f"program.steps: {len(message.steps)} steps; at most {_MOST_STEPS}")
    steps = []
    for at, step in enumerate(message.steps):
        try:
            steps.append(_step_from_proto(step, model_of))
        except InvalidInput as error:
            raise InvalidInput(f"program.steps[{at}]: {error}") from error
    assignment = Assignment(
        message.lease,
        message.key,
        Program(message.worker, (), tuple(steps), ()),
        {peer.worker: peer.address for peer in message.peers},
    )
    check_assignment(assignment)
    return assignment


def _step_to_proto(step: Step, digest_of: Callable[[bytes], str]) -> pb.Step:
    match step:
        case Send(part, receiver, within):
            send = pb.Step.Send(
                part=_part_to_proto(part), receiver=receiver, within=_part_to_proto(within)
            )
            return pb.Step(send=send)
        case Receive(part, sender):
            return pb.Step(receive=pb.Step.Receive(part=_part_to_proto(part), sender=sender))
        case Compute(model, inputs, outputs):
            compute = pb.Step.Compute(
                digest=digest_of(model),
                inputs=_bindings_to_proto(inputs),
                outputs=_bindings_to_proto(outputs),
            )
            return pb.Step(compute=compute)


def _step_from_proto(message: pb.Step, model_of: Callable[[str], bytes]) -> Step:
    kind = message.WhichOneof("step")
    if kind == "send":
        send = message.send
        return Send(_part_from_proto(send.part), send.receiver, _part_from_proto(send.within))
    if kind == "receive":
        return Receive(_part_from_proto(message.receive.part), message.receive.sender)
    if kind == "compute":
        check_digest("digest", message.compute.digest)
        inputs, outputs = (
            _bindings(side) for side in (message.compute.inputs, message.compute.outputs)
        )
        return Compute(model_of(message.compute.digest), inputs, outputs)
    raise InvalidInput("no step, or one this version does not know")


def _bindings_to_proto(bindings: Mapping[str, Part]) -> list[pb.Step.Compute.Binding]:
    return [
        pb.Step.Compute.Binding(name=name, part=_part_to_proto(part))
        for name, part in bindings.items()
    ]


def _bindings(messages: Iterable[pb.Step.Compute.Binding]) -> dict[str, Part]:
    bound: dict[str, Part] = {}
    for message in messages:
        _check_text("name", message.name)
        if message.name in bound:
            raise InvalidInput(f"{message.name!r} is bound twice")
        bound[message.name] = _part_from_proto(message.part)
    return bound


def _part_to_proto(part: Part) -> pb.Part:
    axis, low, high = part.region
    region = pb.Part.Region(axis=axis, low=low, high=high) if axis >= 0 else None
    return pb.Part(tensor=part.tensor, region=region)


def _part_from_proto(message: pb.Part) -> Part:
    _check_text("part.tensor", message.tensor)
    if not message.HasField("region"):
        return Part(message.tensor, WHOLE)
    region = Region(message.region.axis, message.region.low, message.region.high)
    if not (region.axis < _MOST_AXES and region.low < region.high < 2**62):
        raise InvalidInput(
            f"part.region of {message.tensor!r}: [{region.low}, {region.high}) of axis "
            f"{region.axis} is no interval"
        )
    return Part(message.tensor, region)


def _check_text(where: str, text: str) -> None:
    if not text or len(text) > _LONGEST or not text.isprintable():
        raise InvalidInput(f"{where}: need printable text of 1 to {_LONGEST} characters")


# ---- runs ----------------------------------------------------------------------------------


def delivery_to_proto(delivery: Delivery) -> pb.Delivery:
    """A part on its way; raises InvalidInput for a type that no Open Inference name stands for."""
    values = delivery.values
    return pb.Delivery(
        key=delivery.key,
        run=delivery.run,
        sender=delivery.sender,
        part=_part_to_proto(delivery.part),
        datatype=datatype_of(values),
        shape=values.shape,
        data=array_to_raw(values),
    )


def delivery_from_proto(message: pb.Delivery) -> Delivery:
    """A part on its way, read-only; raises InvalidInput where its bytes do not fit its shape."""
    check_key(message.key)
    part = _part_from_proto(message.part)
    values = array_from_raw(
        message.datatype, tuple(message.shape), message.data, f"part of {part.tensor!r}"
    )
    return Delivery(message.key, message.run, message.sender, part, values)


def play_reply_to_proto(reply: Delivery | Played) -> pb.PlayReply:
    """What a helper says while it plays."""
    if isinstance(reply, Delivery):
        return pb.PlayReply(delivery=delivery_to_proto(reply))
    return pb.PlayReply(played=pb.Played(seconds=reply.seconds))


def play_reply_from_proto(message: pb.PlayReply) -> Delivery | Played:
    """What a helper says while it plays; raises InvalidInput for anything malformed."""
    kind = message.WhichOneof("reply")
    if kind == "delivery":
        return delivery_from_proto(message.delivery)
    if kind == "played":
        return Played(tuple(message.played.seconds))
    raise InvalidInput("play: no reply, or one this version does not know")
