"""The committed stubs: what they are made of, and that they match the public protocol."""

import subprocess
import sys
from pathlib import Path

import pytest

from dds.errors import InvalidInput
from dds.wire import generate, helper_pb2, market_pb2, open_inference_pb2

ROOT = Path(__file__).parents[3]

# Name: (number, type) of every field of the public Open Inference Protocol, version 2;
# types are protobuf's: 1 double, 2 float, 3 int64, 4 uint64, 5 int32, 8 bool, 9 string,
# 11 message, 12 bytes, 13 uint32.
PUBLIC = {
    "ServerLiveResponse": {"live": (1, 8)},
    "ServerReadyResponse": {"ready": (1, 8)},
    "ModelReadyRequest": {"name": (1, 9), "version": (2, 9)},
    "ModelReadyResponse": {"ready": (1, 8)},
    "ServerMetadataResponse": {"name": (1, 9), "version": (2, 9), "extensions": (3, 9)},
    "ModelMetadataRequest": {"name": (1, 9), "version": (2, 9)},
    "ModelMetadataResponse": {
        "name": (1, 9),
        "versions": (2, 9),
        "platform": (3, 9),
        "inputs": (4, 11),
        "outputs": (5, 11),
    },
    "ModelInferRequest": {
        "model_name": (1, 9),
        "model_version": (2, 9),
        "id": (3, 9),
        "parameters": (4, 11),
        "inputs": (5, 11),
        "outputs": (6, 11),
        "raw_input_contents": (7, 12),
    },
    "ModelInferRequest.InferInputTensor": {
        "name": (1, 9),
        "datatype": (2, 9),
        "shape": (3, 3),
        "parameters": (4, 11),
        "contents": (5, 11),
    },
    "ModelInferRequest.InferRequestedOutputTensor": {"name": (1, 9), "parameters": (2, 11)},
    "ModelInferResponse": {
        "model_name": (1, 9),
        "model_version": (2, 9),
        "id": (3, 9),
        "parameters": (4, 11),
        "outputs": (5, 11),
        "raw_output_contents": (6, 12),
    },
    "InferParameter": {
        "bool_param": (1, 8),
        "int64_param": (2, 3),
        "string_param": (3, 9),
        "double_param": (4, 1),
        "uint64_param": (5, 4),
    },
    "InferTensorContents": {
        "bool_contents": (1, 8),
        "int_contents": (2, 5),
        "int64_contents": (3, 3),
        "uint_contents": (4, 13),
        "uint64_contents": (5, 4),
        "fp32_contents": (6, 2),
        "fp64_contents": (7, 1),
        "bytes_contents": (8, 12),
    },
}


@pytest.mark.parametrize("name", PUBLIC)
def test_open_inference_is_wire_compatible(name: str) -> None:
    message = open_inference_pb2
    for part in name.split("."):
        message = getattr(message, part)
    fields = {f.name: (f.number, f.type) for f in message.DESCRIPTOR.fields}
    assert fields == PUBLIC[name]


def test_services_and_packages() -> None:
    files = {
        open_inference_pb2: (
            "inference",
            "GRPCInferenceService",
            "ServerLive ServerReady ModelReady ServerMetadata ModelMetadata ModelInfer",
        ),
        market_pb2: ("dds.market.v1", "Market", "Play PutModel ProfileModel Status"),
        helper_pb2: (
            "dds.helper.v1",
            "Helper",
            """Describe Join Renew Leave Echo PutModel ProfileModel LoadProgram UnloadProgram
            Play Deliver""",
        ),
    }
    for module, (package, service, methods) in files.items():
        assert module.DESCRIPTOR.package == package
        found = module.DESCRIPTOR.services_by_name[service].methods_by_name
        assert set(found) == set(methods.split())


def test_stubs_import_each_other_through_the_package() -> None:
    for stem in ("helper", "market", "open_inference"):
        text = (ROOT / f"dds/wire/{stem}_pb2_grpc.py").read_text(encoding="utf-8")
        assert f"from dds.wire import {stem}_pb2 as" in text
        assert f"GRPC_GENERATED_VERSION = '{generate.TOOLS}'" in text


def test_generate_says_which_tools_are_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def missing(name: str) -> str:
        raise generate.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(generate.importlib.metadata, "version", missing)
    with pytest.raises(InvalidInput, match=r"need 1\.81\.1, found none"):
        generate.generate(tmp_path)
    assert generate.main(["--check"]) == 2
    assert "pip install grpcio-tools==1.81.1" in capsys.readouterr().err


def test_generate_reports_what_differs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    target = Path("dds/wire/market_pb2.pyi")

    def writes(text: bytes):
        def fake(into: Path) -> tuple[Path, ...]:
            (into / target).parent.mkdir(parents=True)
            (into / target).write_bytes(text)
            return (target,)

        return fake

    monkeypatch.setattr(generate, "generate", writes((ROOT / target).read_bytes()))
    assert generate.main(["--check"]) == 0
    monkeypatch.setattr(generate, "generate", writes(b"# something else\n"))
    assert generate.main(["--check"]) == 1
    assert "market_pb2.pyi is stale" in capsys.readouterr().err


@pytest.mark.parametrize("package", ["dds.session.client", "dds.session.server", "dds.wire"])
def test_the_protocol_needs_neither_grpc_nor_protobuf(package: str) -> None:
    heavy = ("grpc", "google.protobuf")
    code = f"import sys, {package}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"
