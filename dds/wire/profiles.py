"""Requests for a measurement, and measured profiles, as protobuf messages and back.

As in :mod:`dds.wire.codec`, reading is safe on hostile input: the result passed its own checks,
or InvalidInput names what is wrong.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from dds.errors import InvalidInput
from dds.profile.profile import Profile
from dds.profile.runtime import Runtime
from dds.session.profiling import ProfileRequest
from dds.wire import market_pb2 as pb

__all__ = [
    "PUSHBACK_KEY",
    "profile_from_proto",
    "profile_to_proto",
    "pushback_from_trailers",
    "pushback_to_trailers",
    "request_from_proto",
    "request_to_proto",
]

#: Trailing metadata with which a gRPC server says after how many ms to ask again.
PUSHBACK_KEY = "grpc-retry-pushback-ms"
#: A server may write anything; a pause of more digits is not a pause.
_MILLISECONDS = re.compile("[0-9]{1,9}")
#: Most characters of a fingerprint, a level of optimisation or a name.
_LONGEST = 1000


def pushback_to_trailers(seconds: float) -> tuple[tuple[str, str], ...]:
    """The trailing metadata of a busy server that asks to wait so long."""
    return ((PUSHBACK_KEY, str(math.ceil(1000.0 * seconds))),)


def pushback_from_trailers(trailers: Iterable[tuple[str, str | bytes]] | None) -> float | None:
    """The seconds a busy server asks to wait; None where it does not say so."""
    for key, value in trailers or ():
        if key == PUSHBACK_KEY and _MILLISECONDS.fullmatch(str(value)):
            return int(value) / 1000.0
    return None


def request_to_proto(request: ProfileRequest) -> pb.ProfileModelRequest:
    """The request for a measurement."""
    return pb.ProfileModelRequest(
        lease=request.lease, digest=request.digest, repeats=request.repeats
    )


def request_from_proto(message: pb.ProfileModelRequest) -> ProfileRequest:
    """The request for a measurement; raises InvalidInput for a malformed digest."""
    return ProfileRequest(message.lease, message.digest, message.repeats)


def profile_to_proto(profile: Profile, *, known: bool) -> pb.ProfileModelReply:
    """A profile; known: it had been measured before."""
    columns = (profile.operators, profile.groups, profile.seconds, profile.noise)
    return pb.ProfileModelReply(
        digest=profile.digest,
        platform=profile.platform,
        runtime=pb.ProfileModelReply.Runtime(
            threads=profile.runtime.threads, optimisation=profile.runtime.optimisation
        ),
        groups=[
            pb.ProfileModelReply.Group(name=name, operators=group, seconds=seconds, noise=noise)
            for name, group, seconds, noise in zip(*columns, strict=True)
        ],
        whole=profile.whole,
        kernels=profile.kernels,
        spread=profile.spread,
        repeats=profile.repeats,
        known=known,
    )


def profile_from_proto(message: pb.ProfileModelReply) -> tuple[Profile, bool]:
    """A profile, and whether it had been measured before.

    Raises InvalidInput for anything that no measurement gives: times that are not finite and
    above 0, groups that share an operator, an unknown optimisation.
    """
    for what, text in (("platform", message.platform), ("digest", message.digest)):
        if len(text) > _LONGEST or not text.isprintable():
            raise InvalidInput(
                f"profile.{what}: need printable text of at most {_LONGEST} characters"
            )
    groups = tuple(tuple(group.operators) for group in message.groups)
    listed = [v for group in groups for v in group]
    if len(set(listed)) < len(listed) or not all(groups):
        raise InvalidInput("profile.groups: need every operator in one group, and none empty")
    profile = Profile(
        digest=message.digest,
        platform=message.platform,
        runtime=Runtime(message.runtime.threads, message.runtime.optimisation),
        operators=tuple(group.name for group in message.groups),
        groups=groups,
        seconds=tuple(group.seconds for group in message.groups),
        noise=tuple(group.noise for group in message.groups),
        whole=message.whole,
        kernels=message.kernels,
        spread=message.spread,
        repeats=message.repeats,
    )
    return profile, message.known
