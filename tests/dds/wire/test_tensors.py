"""Arrays survive the Open Inference Protocol; contents that do not fit are refused."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dds.errors import InvalidInput
from dds.wire import open_inference_pb2 as oip
from dds.wire import tensors
from dds.wire.tensors import DATATYPES, array_from_raw, array_to_raw, datatype_of

shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
arrays = st.sampled_from([dtype for dtype, _ in DATATYPES.values()]).flatmap(
    lambda dtype: hnp.arrays(dtype, shapes)
)
texts = shapes.flatmap(lambda shape: hnp.arrays(object, shape, elements=st.binary(max_size=6)))


@settings(deadline=None, max_examples=90)
@given(arrays | texts)
def test_raw_contents_come_back(array) -> None:
    back = array_from_raw(datatype_of(array), array.shape, array_to_raw(array))
    np.testing.assert_array_equal(back, array)
    assert back.shape == array.shape
    assert back.dtype == array.dtype


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(st.text(min_size=1, max_size=5), arrays | texts, max_size=4))
def test_requests_and_responses_come_back(named) -> None:
    request = tensors.request_to_proto("m", named, outputs=("y",), request_id="7")
    request = oip.ModelInferRequest.FromString(request.SerializeToString())
    inputs, wanted = tensors.request_from_proto(request)
    response = tensors.response_to_proto("m", named, request_id="7")
    response = oip.ModelInferResponse.FromString(response.SerializeToString())
    outputs = tensors.response_from_proto(response)
    assert (request.model_name, request.id, wanted) == ("m", "7", ("y",))
    assert (response.model_name, response.id) == ("m", "7")
    for back in (inputs, outputs):
        assert list(back) == list(named)
        for name, array in named.items():
            np.testing.assert_array_equal(back[name], array)


def test_layout_is_row_major_little_endian() -> None:
    array = np.array([[1, 2], [3, 4]], dtype=">i2").T
    assert array_to_raw(array) == bytes([1, 0, 3, 0, 2, 0, 4, 0])
    assert array_to_raw(np.array(["é", b"x"], dtype=object)) == b"\2\0\0\0\xc3\xa9\1\0\0\0x"
    assert array_to_raw(np.array(["ab"])) == b"\2\0\0\0ab"


@settings(deadline=None, max_examples=120)
@given(
    st.sampled_from([*DATATYPES, "BYTES"]),
    st.lists(st.integers(-2, 2**63 - 1) | st.integers(0, 4), max_size=4),
    st.binary(max_size=40),
)
def test_any_shape_and_bytes_are_read_or_refused(kind: str, shape: list[int], raw: bytes) -> None:
    try:
        array = array_from_raw(kind, shape, raw)
    except InvalidInput:
        return
    assert array.shape == tuple(shape)
    assert array_to_raw(array) == raw


@pytest.mark.parametrize(
    ("kind", "shape", "raw", "text"),
    [
        ("FP32", [2], b"\0" * 7, "7 bytes of FP32; shape [2] needs 8"),
        ("FP32", [-1], b"", "negative dimension"),
        ("FP32", [0, 2**62], b"", "too large"),
        ("FP32", [1] * 33, b"\0" * 4, "33 dimensions"),
        ("BF16", [1], b"\0\0", "unknown data type 'BF16'"),
        ("BOOL", [1], b"\2", "neither 0 nor 1"),
        ("BYTES", [1], b"\5\0\0\0ab", "do not fit"),
        ("BYTES", [1], b"\0\0\0\0\0\0\0\0", "do not fit"),
        ("BYTES", [2], b"\0\0\0\0", "1 BYTES elements; shape needs 2"),
        ("BYTES", [1], b"\0\0", "do not fit"),
    ],
)
def test_contents_that_do_not_fit_are_refused(
    kind: str, shape: list[int], raw: bytes, text: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        array_from_raw(kind, shape, raw, "input 'x'")
    assert text in str(caught.value)
    assert str(caught.value).startswith("input 'x': ")


@pytest.mark.parametrize(
    ("kind", "field", "values"),
    [
        ("BOOL", "bool_contents", [True, False]),
        ("INT8", "int_contents", [-128, 127]),
        ("UINT16", "uint_contents", [0, 65535]),
        ("INT64", "int64_contents", [-(2**63), 2**63 - 1]),
        ("UINT64", "uint64_contents", [0, 2**64 - 1]),
        ("FP32", "fp32_contents", [0.5, -2.0]),
        ("FP64", "fp64_contents", [0.1, 1e300]),
        ("BYTES", "bytes_contents", [b"a", b""]),
    ],
)
def test_typed_contents_are_read(kind: str, field: str, values: list) -> None:
    tensor = oip.ModelInferRequest.InferInputTensor(name="x", datatype=kind, shape=[2, 1])
    getattr(tensor.contents, field).extend(values)
    inputs, _ = tensors.request_from_proto(oip.ModelInferRequest(inputs=[tensor]))
    assert inputs["x"].shape == (2, 1)
    assert inputs["x"].ravel().tolist() == values
    assert datatype_of(inputs["x"]) == kind


def _request(
    *named: tuple[str, str, list[int]], raw: tuple[bytes, ...] = ()
) -> oip.ModelInferRequest:
    kinds = oip.ModelInferRequest.InferInputTensor
    return oip.ModelInferRequest(
        inputs=[kinds(name=n, datatype=d, shape=s) for n, d, s in named], raw_input_contents=raw
    )


def test_broken_requests_are_refused() -> None:
    small = _request(("x", "INT8", [1]))
    small.inputs[0].contents.int_contents.append(200)
    both = _request(("x", "INT8", [1]), raw=(b"\1",))
    both.inputs[0].contents.int_contents.append(1)
    for text, request in {
        "input 'x': a value does not fit INT8": small,
        "input 'x': both raw and typed": both,
        "input 'x': 0 values": _request(("x", "FP32", [1])),
        "input 'x': FP16 travels in raw": _request(("x", "FP16", [1])),
        "input 'x': unknown data type": _request(("x", "FP8", [1])),
        "input 'x': the name is empty or comes twice": _request(
            ("x", "INT8", [0]), ("x", "INT8", [0])
        ),
        "1 raw contents for 2 inputs": _request(
            ("x", "INT8", [1]), ("y", "INT8", [1]), raw=(b"\1",)
        ),
    }.items():
        with pytest.raises(InvalidInput) as caught:
            tensors.request_from_proto(request)
        assert str(caught.value).startswith(text)


def test_unknown_numpy_types_are_refused() -> None:
    with pytest.raises(InvalidInput, match="complex128"):
        datatype_of(np.zeros(1, dtype=complex))
    with pytest.raises(InvalidInput, match="holds int"):
        array_to_raw(np.array([1], dtype=object))


def test_a_request_names_the_part_that_runs_next() -> None:
    assert tensors.then_from_proto(tensors.request_to_proto("m", {})) is None
    for digest in ("0" * 64, "f" * 64):
        sent = tensors.request_to_proto("m", {}, then=digest)
        sent = oip.ModelInferRequest.FromString(sent.SerializeToString())
        assert tensors.then_from_proto(sent) == digest


@pytest.mark.parametrize("then", ["", "x", "F" * 64, "0" * 63, "0" * 65])
def test_what_runs_next_is_a_digest(then: str) -> None:
    with pytest.raises(InvalidInput, match="parameter 'then': need a SHA-256 digest"):
        tensors.then_from_proto(tensors.request_to_proto("m", {}, then=then))


def test_what_runs_next_is_text() -> None:
    request = oip.ModelInferRequest()
    request.parameters["then"].int64_param = 7
    with pytest.raises(InvalidInput, match="parameter 'then'"):
        tensors.then_from_proto(request)


times = st.floats(min_value=0.0, allow_nan=False, allow_infinity=False)


@settings(deadline=None)
@given(st.fixed_dictionaries(dict.fromkeys((*tensors.OWN_SECONDS, *tensors.THEN_SECONDS), times)))
def test_times_come_back(seconds: dict[str, float]) -> None:
    sent = tensors.response_to_proto("m", {}, seconds=seconds)
    sent = oip.ModelInferResponse.FromString(sent.SerializeToString())
    assert tensors.seconds_from_proto(sent, seconds) == tuple(seconds.values())


@pytest.mark.parametrize("value", [-1.0, -math.inf, math.inf, math.nan])
def test_times_are_seconds(value: float) -> None:
    reply = tensors.response_to_proto("m", {}, seconds={"wall": value})
    with pytest.raises(InvalidInput, match="wall_seconds = "):
        tensors.seconds_from_proto(reply, ["wall"])


def test_times_are_there_and_doubles() -> None:
    reply = tensors.response_to_proto("m", {}, seconds={"cpu": 1.0})
    reply.parameters["paced_seconds"].int64_param = 1
    for name in ("wall", "paced"):
        with pytest.raises(InvalidInput, match=f"does not say its {name}_seconds"):
            tensors.seconds_from_proto(reply, ["cpu", name])


def test_hops_are_one_digit() -> None:
    assert [tensors.hops_from_text(str(n)) for n in range(9)] == list(range(9))


@settings(deadline=None)
@given((st.text() | st.integers().map(str)).filter(lambda text: text not in set("012345678")))
def test_other_hops_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"metadata dds-hops is .*from 0 to 8"):
        tensors.hops_from_text(text)
