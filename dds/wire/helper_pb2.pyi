from dds.wire import market_pb2 as _market_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DescribeRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DescribeReply(_message.Message):
    __slots__ = ("name", "engine", "platform", "slowdown", "version")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_FIELD_NUMBER: _ClassVar[int]
    SLOWDOWN_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    engine: str
    platform: str
    slowdown: float
    version: int
    def __init__(self, name: _Optional[str] = ..., engine: _Optional[str] = ..., platform: _Optional[str] = ..., slowdown: _Optional[float] = ..., version: _Optional[int] = ...) -> None: ...

class JoinRequest(_message.Message):
    __slots__ = ("name", "version")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: int
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class JoinReply(_message.Message):
    __slots__ = ("lease", "lease_time")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    LEASE_TIME_FIELD_NUMBER: _ClassVar[int]
    lease: str
    lease_time: float
    def __init__(self, lease: _Optional[str] = ..., lease_time: _Optional[float] = ...) -> None: ...

class RenewRequest(_message.Message):
    __slots__ = ("lease",)
    LEASE_FIELD_NUMBER: _ClassVar[int]
    lease: str
    def __init__(self, lease: _Optional[str] = ...) -> None: ...

class RenewReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class LeaveRequest(_message.Message):
    __slots__ = ("lease",)
    LEASE_FIELD_NUMBER: _ClassVar[int]
    lease: str
    def __init__(self, lease: _Optional[str] = ...) -> None: ...

class LeaveReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class EchoRequest(_message.Message):
    __slots__ = ("data", "wanted")
    DATA_FIELD_NUMBER: _ClassVar[int]
    WANTED_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    wanted: int
    def __init__(self, data: _Optional[bytes] = ..., wanted: _Optional[int] = ...) -> None: ...

class EchoReply(_message.Message):
    __slots__ = ("data",)
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    def __init__(self, data: _Optional[bytes] = ...) -> None: ...

class Part(_message.Message):
    __slots__ = ("tensor", "region")
    class Region(_message.Message):
        __slots__ = ("axis", "low", "high")
        AXIS_FIELD_NUMBER: _ClassVar[int]
        LOW_FIELD_NUMBER: _ClassVar[int]
        HIGH_FIELD_NUMBER: _ClassVar[int]
        axis: int
        low: int
        high: int
        def __init__(self, axis: _Optional[int] = ..., low: _Optional[int] = ..., high: _Optional[int] = ...) -> None: ...
    TENSOR_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    tensor: str
    region: Part.Region
    def __init__(self, tensor: _Optional[str] = ..., region: _Optional[_Union[Part.Region, _Mapping]] = ...) -> None: ...

class Step(_message.Message):
    __slots__ = ("send", "receive", "compute")
    class Send(_message.Message):
        __slots__ = ("part", "receiver", "within")
        PART_FIELD_NUMBER: _ClassVar[int]
        RECEIVER_FIELD_NUMBER: _ClassVar[int]
        WITHIN_FIELD_NUMBER: _ClassVar[int]
        part: Part
        receiver: int
        within: Part
        def __init__(self, part: _Optional[_Union[Part, _Mapping]] = ..., receiver: _Optional[int] = ..., within: _Optional[_Union[Part, _Mapping]] = ...) -> None: ...
    class Receive(_message.Message):
        __slots__ = ("part", "sender")
        PART_FIELD_NUMBER: _ClassVar[int]
        SENDER_FIELD_NUMBER: _ClassVar[int]
        part: Part
        sender: int
        def __init__(self, part: _Optional[_Union[Part, _Mapping]] = ..., sender: _Optional[int] = ...) -> None: ...
    class Compute(_message.Message):
        __slots__ = ("digest", "inputs", "outputs")
        class Binding(_message.Message):
            __slots__ = ("name", "part")
            NAME_FIELD_NUMBER: _ClassVar[int]
            PART_FIELD_NUMBER: _ClassVar[int]
            name: str
            part: Part
            def __init__(self, name: _Optional[str] = ..., part: _Optional[_Union[Part, _Mapping]] = ...) -> None: ...
        DIGEST_FIELD_NUMBER: _ClassVar[int]
        INPUTS_FIELD_NUMBER: _ClassVar[int]
        OUTPUTS_FIELD_NUMBER: _ClassVar[int]
        digest: str
        inputs: _containers.RepeatedCompositeFieldContainer[Step.Compute.Binding]
        outputs: _containers.RepeatedCompositeFieldContainer[Step.Compute.Binding]
        def __init__(self, digest: _Optional[str] = ..., inputs: _Optional[_Iterable[_Union[Step.Compute.Binding, _Mapping]]] = ..., outputs: _Optional[_Iterable[_Union[Step.Compute.Binding, _Mapping]]] = ...) -> None: ...
    SEND_FIELD_NUMBER: _ClassVar[int]
    RECEIVE_FIELD_NUMBER: _ClassVar[int]
    COMPUTE_FIELD_NUMBER: _ClassVar[int]
    send: Step.Send
    receive: Step.Receive
    compute: Step.Compute
    def __init__(self, send: _Optional[_Union[Step.Send, _Mapping]] = ..., receive: _Optional[_Union[Step.Receive, _Mapping]] = ..., compute: _Optional[_Union[Step.Compute, _Mapping]] = ...) -> None: ...

class LoadProgramRequest(_message.Message):
    __slots__ = ("lease", "key", "worker", "peers", "steps")
    class Peer(_message.Message):
        __slots__ = ("worker", "address")
        WORKER_FIELD_NUMBER: _ClassVar[int]
        ADDRESS_FIELD_NUMBER: _ClassVar[int]
        worker: int
        address: str
        def __init__(self, worker: _Optional[int] = ..., address: _Optional[str] = ...) -> None: ...
    LEASE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    PEERS_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    lease: str
    key: str
    worker: int
    peers: _containers.RepeatedCompositeFieldContainer[LoadProgramRequest.Peer]
    steps: _containers.RepeatedCompositeFieldContainer[Step]
    def __init__(self, lease: _Optional[str] = ..., key: _Optional[str] = ..., worker: _Optional[int] = ..., peers: _Optional[_Iterable[_Union[LoadProgramRequest.Peer, _Mapping]]] = ..., steps: _Optional[_Iterable[_Union[Step, _Mapping]]] = ...) -> None: ...

class LoadProgramReply(_message.Message):
    __slots__ = ("remarks",)
    REMARKS_FIELD_NUMBER: _ClassVar[int]
    remarks: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, remarks: _Optional[_Iterable[str]] = ...) -> None: ...

class UnloadProgramRequest(_message.Message):
    __slots__ = ("lease", "key")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    lease: str
    key: str
    def __init__(self, lease: _Optional[str] = ..., key: _Optional[str] = ...) -> None: ...

class UnloadProgramReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PlayRequest(_message.Message):
    __slots__ = ("lease", "key", "run")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    lease: str
    key: str
    run: int
    def __init__(self, lease: _Optional[str] = ..., key: _Optional[str] = ..., run: _Optional[int] = ...) -> None: ...

class PlayReply(_message.Message):
    __slots__ = ("delivery", "played")
    DELIVERY_FIELD_NUMBER: _ClassVar[int]
    PLAYED_FIELD_NUMBER: _ClassVar[int]
    delivery: Delivery
    played: Played
    def __init__(self, delivery: _Optional[_Union[Delivery, _Mapping]] = ..., played: _Optional[_Union[Played, _Mapping]] = ...) -> None: ...

class Played(_message.Message):
    __slots__ = ("seconds",)
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    seconds: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, seconds: _Optional[_Iterable[float]] = ...) -> None: ...

class Delivery(_message.Message):
    __slots__ = ("key", "run", "sender", "part", "datatype", "shape", "data")
    KEY_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    DATATYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    key: str
    run: int
    sender: int
    part: Part
    datatype: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    data: bytes
    def __init__(self, key: _Optional[str] = ..., run: _Optional[int] = ..., sender: _Optional[int] = ..., part: _Optional[_Union[Part, _Mapping]] = ..., datatype: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ..., data: _Optional[bytes] = ...) -> None: ...

class DeliverReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
