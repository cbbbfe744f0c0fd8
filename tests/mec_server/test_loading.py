import hashlib

import onnx
import pytest
from onnx import TensorProto, helper

from dds.errors import InvalidInput
from dds.model import zoo
from dds.profile.runtime import Runtime
from mec_server.config import Limits
from mec_server.loading import load


def model(*nodes: onnx.NodeProto, domain: str = "", shape: tuple[int, ...] = (3,)) -> bytes:
    graph = helper.make_graph(
        list(nodes) or [helper.make_node("Relu", ["x"], ["y"])],
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    opsets = [helper.make_opsetid("", 17)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    made = helper.make_model(graph, opset_imports=opsets)
    made.ir_version = 8
    return bytes(made.SerializeToString())


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_sound_model_is_opened() -> None:
    data = zoo.build("squeezenet")
    stored = load(data, digest(data), Limits(), Runtime())
    assert stored.size == len(data)
    assert [(spec.dtype, spec.shape) for spec in stored.inputs] == [("float32", (1, 3, 224, 224))]
    assert [spec.shape for spec in stored.outputs] == [(1, 1000, 1, 1)]


def test_bytes_of_another_digest_are_refused() -> None:
    with pytest.raises(InvalidInput, match="announced was"):
        load(model(), digest(b"something else"), Limits(), Runtime())


def test_operators_nobody_vouches_for_are_refused() -> None:
    data = model(helper.make_node("Relu", ["x"], ["y"], domain="com.example"), domain="com.example")
    with pytest.raises(InvalidInput, match=r"com\.example"):
        load(data, digest(data), Limits(), Runtime())


def test_unused_strange_operator_sets_are_refused_too() -> None:
    data = model(domain="com.example")
    with pytest.raises(InvalidInput, match=r"com\.example"):
        load(data, digest(data), Limits(), Runtime())


def test_external_data_is_refused() -> None:
    made = onnx.load_from_string(model(helper.make_node("Add", ["x", "w"], ["y"])))
    weight = made.graph.initializer.add(name="w", data_type=TensorProto.FLOAT, dims=[3])
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="/etc/hostname")
    data = made.SerializeToString()
    with pytest.raises(InvalidInput, match="external data"):
        load(data, digest(data), Limits(), Runtime())


@pytest.mark.parametrize("data", [b"", b"not a model", b"\x08\x07" * 50])
def test_what_is_no_model_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        load(data, digest(data), Limits(), Runtime())


def test_too_much_memory_is_refused_before_it_is_used() -> None:
    data = model(shape=(2**18,))
    with pytest.raises(InvalidInput, match=r"tensors take 2\.1 MB"):
        load(data, digest(data), Limits(tensor_bytes=10**6), Runtime())


def test_too_much_work_is_refused() -> None:
    data = zoo.build("squeezenet")
    with pytest.raises(InvalidInput, match="FLOP"):
        load(data, digest(data), Limits(flops=1e6), Runtime())
