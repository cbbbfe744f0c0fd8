"""The protocol as bytes: protobuf messages, gRPC stubs, one codec.

- ``market.proto``          the game, models, status (package ``dds.market.v1``)
- ``helper.proto``          programs of a schedule, run by helpers (package ``dds.helper.v1``)
- ``open_inference.proto``  the KServe Open Inference Protocol (package ``inference``)
- ``*_pb2*``                stubs, written by ``python -m dds.wire.generate``
- ``dds.wire.codec``        dataclasses of ``dds.session`` to protobuf and back
- ``dds.wire.profiles``     measured profiles, to protobuf and back
- ``dds.wire.helping``      what clients and helpers say, to protobuf and back
- ``dds.wire.serving``      what gRPC servers do the same way; ``dds.wire.calling``, clients
- ``dds.wire.tensors``      numpy arrays to Open Inference tensors and back

Importing this package alone loads neither grpc nor protobuf; its modules do.
"""
