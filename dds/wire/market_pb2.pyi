from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ClientMessage(_message.Message):
    __slots__ = ("join", "bid", "accept", "renew", "release")
    JOIN_FIELD_NUMBER: _ClassVar[int]
    BID_FIELD_NUMBER: _ClassVar[int]
    ACCEPT_FIELD_NUMBER: _ClassVar[int]
    RENEW_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    join: Join
    bid: Bid
    accept: Accept
    renew: Renew
    release: Release
    def __init__(self, join: _Optional[_Union[Join, _Mapping]] = ..., bid: _Optional[_Union[Bid, _Mapping]] = ..., accept: _Optional[_Union[Accept, _Mapping]] = ..., renew: _Optional[_Union[Renew, _Mapping]] = ..., release: _Optional[_Union[Release, _Mapping]] = ...) -> None: ...

class Join(_message.Message):
    __slots__ = ("name", "nonce", "version")
    NAME_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    nonce: str
    version: int
    def __init__(self, name: _Optional[str] = ..., nonce: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class Bid(_message.Message):
    __slots__ = ("lease", "epoch", "round", "share")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    lease: str
    epoch: int
    round: int
    share: float
    def __init__(self, lease: _Optional[str] = ..., epoch: _Optional[int] = ..., round: _Optional[int] = ..., share: _Optional[float] = ...) -> None: ...

class Accept(_message.Message):
    __slots__ = ("lease", "epoch")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    lease: str
    epoch: int
    def __init__(self, lease: _Optional[str] = ..., epoch: _Optional[int] = ...) -> None: ...

class Renew(_message.Message):
    __slots__ = ("lease", "revision")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    lease: str
    revision: int
    def __init__(self, lease: _Optional[str] = ..., revision: _Optional[int] = ...) -> None: ...

class Release(_message.Message):
    __slots__ = ("lease",)
    LEASE_FIELD_NUMBER: _ClassVar[int]
    lease: str
    def __init__(self, lease: _Optional[str] = ...) -> None: ...

class ServerMessage(_message.Message):
    __slots__ = ("welcome", "post", "allocation", "renewed", "released", "refusal")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    POST_FIELD_NUMBER: _ClassVar[int]
    ALLOCATION_FIELD_NUMBER: _ClassVar[int]
    RENEWED_FIELD_NUMBER: _ClassVar[int]
    RELEASED_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    post: Post
    allocation: Allocation
    renewed: Renewed
    released: Released
    refusal: Refusal
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., post: _Optional[_Union[Post, _Mapping]] = ..., allocation: _Optional[_Union[Allocation, _Mapping]] = ..., renewed: _Optional[_Union[Renewed, _Mapping]] = ..., released: _Optional[_Union[Released, _Mapping]] = ..., refusal: _Optional[_Union[Refusal, _Mapping]] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("nonce", "lease", "lease_time", "terms", "version")
    NONCE_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    LEASE_TIME_FIELD_NUMBER: _ClassVar[int]
    TERMS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    nonce: str
    lease: str
    lease_time: float
    terms: Terms
    version: int
    def __init__(self, nonce: _Optional[str] = ..., lease: _Optional[str] = ..., lease_time: _Optional[float] = ..., terms: _Optional[_Union[Terms, _Mapping]] = ..., version: _Optional[int] = ...) -> None: ...

class Terms(_message.Message):
    __slots__ = ("tariff", "quantum", "capacity", "core")
    TARIFF_FIELD_NUMBER: _ClassVar[int]
    QUANTUM_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    CORE_FIELD_NUMBER: _ClassVar[int]
    tariff: Tariff
    quantum: str
    capacity: float
    core: ReferenceCore
    def __init__(self, tariff: _Optional[_Union[Tariff, _Mapping]] = ..., quantum: _Optional[str] = ..., capacity: _Optional[float] = ..., core: _Optional[_Union[ReferenceCore, _Mapping]] = ...) -> None: ...

class ReferenceCore(_message.Message):
    __slots__ = ("name", "flops_per_s", "bytes_per_s", "overhead", "platform", "slowdown")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FLOPS_PER_S_FIELD_NUMBER: _ClassVar[int]
    BYTES_PER_S_FIELD_NUMBER: _ClassVar[int]
    OVERHEAD_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_FIELD_NUMBER: _ClassVar[int]
    SLOWDOWN_FIELD_NUMBER: _ClassVar[int]
    name: str
    flops_per_s: float
    bytes_per_s: float
    overhead: float
    platform: str
    slowdown: float
    def __init__(self, name: _Optional[str] = ..., flops_per_s: _Optional[float] = ..., bytes_per_s: _Optional[float] = ..., overhead: _Optional[float] = ..., platform: _Optional[str] = ..., slowdown: _Optional[float] = ...) -> None: ...

class Tariff(_message.Message):
    __slots__ = ("clearing", "flat", "linear", "power", "barrier", "piecewise")
    class Clearing(_message.Message):
        __slots__ = ("capacity",)
        CAPACITY_FIELD_NUMBER: _ClassVar[int]
        capacity: float
        def __init__(self, capacity: _Optional[float] = ...) -> None: ...
    class Flat(_message.Message):
        __slots__ = ("price", "capacity")
        PRICE_FIELD_NUMBER: _ClassVar[int]
        CAPACITY_FIELD_NUMBER: _ClassVar[int]
        price: float
        capacity: float
        def __init__(self, price: _Optional[float] = ..., capacity: _Optional[float] = ...) -> None: ...
    class Linear(_message.Message):
        __slots__ = ("base_price", "slope", "capacity")
        BASE_PRICE_FIELD_NUMBER: _ClassVar[int]
        SLOPE_FIELD_NUMBER: _ClassVar[int]
        CAPACITY_FIELD_NUMBER: _ClassVar[int]
        base_price: float
        slope: float
        capacity: float
        def __init__(self, base_price: _Optional[float] = ..., slope: _Optional[float] = ..., capacity: _Optional[float] = ...) -> None: ...
    class Power(_message.Message):
        __slots__ = ("base_price", "scale", "exponent", "capacity")
        BASE_PRICE_FIELD_NUMBER: _ClassVar[int]
        SCALE_FIELD_NUMBER: _ClassVar[int]
        EXPONENT_FIELD_NUMBER: _ClassVar[int]
        CAPACITY_FIELD_NUMBER: _ClassVar[int]
        base_price: float
        scale: float
        exponent: int
        capacity: float
        def __init__(self, base_price: _Optional[float] = ..., scale: _Optional[float] = ..., exponent: _Optional[int] = ..., capacity: _Optional[float] = ...) -> None: ...
    class Barrier(_message.Message):
        __slots__ = ("base_price", "capacity")
        BASE_PRICE_FIELD_NUMBER: _ClassVar[int]
        CAPACITY_FIELD_NUMBER: _ClassVar[int]
        base_price: float
        capacity: float
        def __init__(self, base_price: _Optional[float] = ..., capacity: _Optional[float] = ...) -> None: ...
    class PiecewiseLinear(_message.Message):
        __slots__ = ("loads", "prices", "capacity")
        LOADS_FIELD_NUMBER: _ClassVar[int]
        PRICES_FIELD_NUMBER: _ClassVar[int]
        CAPACITY_FIELD_NUMBER: _ClassVar[int]
        loads: _containers.RepeatedScalarFieldContainer[float]
        prices: _containers.RepeatedScalarFieldContainer[float]
        capacity: float
        def __init__(self, loads: _Optional[_Iterable[float]] = ..., prices: _Optional[_Iterable[float]] = ..., capacity: _Optional[float] = ...) -> None: ...
    CLEARING_FIELD_NUMBER: _ClassVar[int]
    FLAT_FIELD_NUMBER: _ClassVar[int]
    LINEAR_FIELD_NUMBER: _ClassVar[int]
    POWER_FIELD_NUMBER: _ClassVar[int]
    BARRIER_FIELD_NUMBER: _ClassVar[int]
    PIECEWISE_FIELD_NUMBER: _ClassVar[int]
    clearing: Tariff.Clearing
    flat: Tariff.Flat
    linear: Tariff.Linear
    power: Tariff.Power
    barrier: Tariff.Barrier
    piecewise: Tariff.PiecewiseLinear
    def __init__(self, clearing: _Optional[_Union[Tariff.Clearing, _Mapping]] = ..., flat: _Optional[_Union[Tariff.Flat, _Mapping]] = ..., linear: _Optional[_Union[Tariff.Linear, _Mapping]] = ..., power: _Optional[_Union[Tariff.Power, _Mapping]] = ..., barrier: _Optional[_Union[Tariff.Barrier, _Mapping]] = ..., piecewise: _Optional[_Union[Tariff.PiecewiseLinear, _Mapping]] = ...) -> None: ...

class Post(_message.Message):
    __slots__ = ("lease", "epoch", "round", "revision", "quote", "probe")
    class Quote(_message.Message):
        __slots__ = ("load", "price", "slope", "at_least", "at_most")
        LOAD_FIELD_NUMBER: _ClassVar[int]
        PRICE_FIELD_NUMBER: _ClassVar[int]
        SLOPE_FIELD_NUMBER: _ClassVar[int]
        AT_LEAST_FIELD_NUMBER: _ClassVar[int]
        AT_MOST_FIELD_NUMBER: _ClassVar[int]
        load: float
        price: float
        slope: float
        at_least: float
        at_most: float
        def __init__(self, load: _Optional[float] = ..., price: _Optional[float] = ..., slope: _Optional[float] = ..., at_least: _Optional[float] = ..., at_most: _Optional[float] = ...) -> None: ...
    class Probe(_message.Message):
        __slots__ = ("others", "share")
        OTHERS_FIELD_NUMBER: _ClassVar[int]
        SHARE_FIELD_NUMBER: _ClassVar[int]
        others: float
        share: float
        def __init__(self, others: _Optional[float] = ..., share: _Optional[float] = ...) -> None: ...
    LEASE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    QUOTE_FIELD_NUMBER: _ClassVar[int]
    PROBE_FIELD_NUMBER: _ClassVar[int]
    lease: str
    epoch: int
    round: int
    revision: int
    quote: Post.Quote
    probe: Post.Probe
    def __init__(self, lease: _Optional[str] = ..., epoch: _Optional[int] = ..., round: _Optional[int] = ..., revision: _Optional[int] = ..., quote: _Optional[_Union[Post.Quote, _Mapping]] = ..., probe: _Optional[_Union[Post.Probe, _Mapping]] = ...) -> None: ...

class Allocation(_message.Message):
    __slots__ = ("lease", "epoch", "share", "price", "total", "others", "payment", "rounds", "below", "revision")
    class Below(_message.Message):
        __slots__ = ("price", "share")
        PRICE_FIELD_NUMBER: _ClassVar[int]
        SHARE_FIELD_NUMBER: _ClassVar[int]
        price: float
        share: float
        def __init__(self, price: _Optional[float] = ..., share: _Optional[float] = ...) -> None: ...
    LEASE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    OTHERS_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_FIELD_NUMBER: _ClassVar[int]
    ROUNDS_FIELD_NUMBER: _ClassVar[int]
    BELOW_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    lease: str
    epoch: int
    share: float
    price: float
    total: float
    others: float
    payment: float
    rounds: int
    below: Allocation.Below
    revision: int
    def __init__(self, lease: _Optional[str] = ..., epoch: _Optional[int] = ..., share: _Optional[float] = ..., price: _Optional[float] = ..., total: _Optional[float] = ..., others: _Optional[float] = ..., payment: _Optional[float] = ..., rounds: _Optional[int] = ..., below: _Optional[_Union[Allocation.Below, _Mapping]] = ..., revision: _Optional[int] = ...) -> None: ...

class Renewed(_message.Message):
    __slots__ = ("lease", "epoch", "revision")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    lease: str
    epoch: int
    revision: int
    def __init__(self, lease: _Optional[str] = ..., epoch: _Optional[int] = ..., revision: _Optional[int] = ...) -> None: ...

class Released(_message.Message):
    __slots__ = ("lease",)
    LEASE_FIELD_NUMBER: _ClassVar[int]
    lease: str
    def __init__(self, lease: _Optional[str] = ...) -> None: ...

class Refusal(_message.Message):
    __slots__ = ("code", "message", "subject")
    class Code(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        CODE_UNSPECIFIED: _ClassVar[Refusal.Code]
        CODE_VERSION: _ClassVar[Refusal.Code]
        CODE_NAME_TAKEN: _ClassVar[Refusal.Code]
        CODE_UNKNOWN_LEASE: _ClassVar[Refusal.Code]
        CODE_INVALID_BID: _ClassVar[Refusal.Code]
        CODE_NOT_MONOTONE: _ClassVar[Refusal.Code]
        CODE_EXPIRED: _ClassVar[Refusal.Code]
        CODE_CLOSING: _ClassVar[Refusal.Code]
        CODE_MALFORMED: _ClassVar[Refusal.Code]
        CODE_INFEASIBLE: _ClassVar[Refusal.Code]
    CODE_UNSPECIFIED: Refusal.Code
    CODE_VERSION: Refusal.Code
    CODE_NAME_TAKEN: Refusal.Code
    CODE_UNKNOWN_LEASE: Refusal.Code
    CODE_INVALID_BID: Refusal.Code
    CODE_NOT_MONOTONE: Refusal.Code
    CODE_EXPIRED: Refusal.Code
    CODE_CLOSING: Refusal.Code
    CODE_MALFORMED: Refusal.Code
    CODE_INFEASIBLE: Refusal.Code
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    code: Refusal.Code
    message: str
    subject: str
    def __init__(self, code: _Optional[_Union[Refusal.Code, str]] = ..., message: _Optional[str] = ..., subject: _Optional[str] = ...) -> None: ...

class ModelChunk(_message.Message):
    __slots__ = ("header", "data")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    header: ModelHeader
    data: bytes
    def __init__(self, header: _Optional[_Union[ModelHeader, _Mapping]] = ..., data: _Optional[bytes] = ...) -> None: ...

class ModelHeader(_message.Message):
    __slots__ = ("lease", "digest", "size")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    lease: str
    digest: str
    size: int
    def __init__(self, lease: _Optional[str] = ..., digest: _Optional[str] = ..., size: _Optional[int] = ...) -> None: ...

class PutModelReply(_message.Message):
    __slots__ = ("digest", "known")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    digest: str
    known: bool
    def __init__(self, digest: _Optional[str] = ..., known: _Optional[bool] = ...) -> None: ...

class ProfileModelRequest(_message.Message):
    __slots__ = ("lease", "digest", "repeats")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    REPEATS_FIELD_NUMBER: _ClassVar[int]
    lease: str
    digest: str
    repeats: int
    def __init__(self, lease: _Optional[str] = ..., digest: _Optional[str] = ..., repeats: _Optional[int] = ...) -> None: ...

class ProfileModelReply(_message.Message):
    __slots__ = ("digest", "platform", "runtime", "groups", "whole", "kernels", "spread", "repeats", "known")
    class Runtime(_message.Message):
        __slots__ = ("threads", "optimisation")
        THREADS_FIELD_NUMBER: _ClassVar[int]
        OPTIMISATION_FIELD_NUMBER: _ClassVar[int]
        threads: int
        optimisation: str
        def __init__(self, threads: _Optional[int] = ..., optimisation: _Optional[str] = ...) -> None: ...
    class Group(_message.Message):
        __slots__ = ("name", "operators", "seconds", "noise")
        NAME_FIELD_NUMBER: _ClassVar[int]
        OPERATORS_FIELD_NUMBER: _ClassVar[int]
        SECONDS_FIELD_NUMBER: _ClassVar[int]
        NOISE_FIELD_NUMBER: _ClassVar[int]
        name: str
        operators: _containers.RepeatedScalarFieldContainer[int]
        seconds: float
        noise: float
        def __init__(self, name: _Optional[str] = ..., operators: _Optional[_Iterable[int]] = ..., seconds: _Optional[float] = ..., noise: _Optional[float] = ...) -> None: ...
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    WHOLE_FIELD_NUMBER: _ClassVar[int]
    KERNELS_FIELD_NUMBER: _ClassVar[int]
    SPREAD_FIELD_NUMBER: _ClassVar[int]
    REPEATS_FIELD_NUMBER: _ClassVar[int]
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    digest: str
    platform: str
    runtime: ProfileModelReply.Runtime
    groups: _containers.RepeatedCompositeFieldContainer[ProfileModelReply.Group]
    whole: float
    kernels: float
    spread: float
    repeats: int
    known: bool
    def __init__(self, digest: _Optional[str] = ..., platform: _Optional[str] = ..., runtime: _Optional[_Union[ProfileModelReply.Runtime, _Mapping]] = ..., groups: _Optional[_Iterable[_Union[ProfileModelReply.Group, _Mapping]]] = ..., whole: _Optional[float] = ..., kernels: _Optional[float] = ..., spread: _Optional[float] = ..., repeats: _Optional[int] = ..., known: _Optional[bool] = ...) -> None: ...

class StatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StatusReply(_message.Message):
    __slots__ = ("state", "epoch", "round", "terms", "price", "total", "members")
    class Member(_message.Message):
        __slots__ = ("name", "share", "payment", "received", "sent")
        NAME_FIELD_NUMBER: _ClassVar[int]
        SHARE_FIELD_NUMBER: _ClassVar[int]
        PAYMENT_FIELD_NUMBER: _ClassVar[int]
        RECEIVED_FIELD_NUMBER: _ClassVar[int]
        SENT_FIELD_NUMBER: _ClassVar[int]
        name: str
        share: float
        payment: float
        received: int
        sent: int
        def __init__(self, name: _Optional[str] = ..., share: _Optional[float] = ..., payment: _Optional[float] = ..., received: _Optional[int] = ..., sent: _Optional[int] = ...) -> None: ...
    STATE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    TERMS_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    state: str
    epoch: int
    round: int
    terms: Terms
    price: float
    total: float
    members: _containers.RepeatedCompositeFieldContainer[StatusReply.Member]
    def __init__(self, state: _Optional[str] = ..., epoch: _Optional[int] = ..., round: _Optional[int] = ..., terms: _Optional[_Union[Terms, _Mapping]] = ..., price: _Optional[float] = ..., total: _Optional[float] = ..., members: _Optional[_Iterable[_Union[StatusReply.Member, _Mapping]]] = ...) -> None: ...
