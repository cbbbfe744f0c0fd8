"""The model zoo: nine CNN topologies inside the onnx package.

They are the classic ImageNet classifiers of the ONNX model zoo with their weights taken
out (each weight is a ConstantOfShape node), so a topology is kilobytes and needs no
download.  :func:`topology` is enough to plan; :func:`build` puts seeded random weights of
the true shapes back, so that the model runs as fast and as large as the real one.  Its
answers mean nothing, but they are finite and depend on the picture.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx

from dds.errors import InvalidInput
from dds.model.dataflow import Dataflow, attributes, dataflow
from dds.model.importer import read_model
from dds.model.onnxfile import OnnxFile, assemble, open_onnx, raw_weight
from dds.model.shapes import Forms, infer

__all__ = ["NAMES", "build", "name_in", "read", "topology"]

NAMES: tuple[str, ...] = (
    "alexnet", "densenet121", "inception_v1", "inception_v2", "resnet50", "shufflenet",
    "squeezenet", "vgg19", "zfnet512",
)  # fmt: skip

# Names of the files inside the onnx package that differ from ours.
_FILES = {"alexnet": "bvlc_alexnet"}
#: Values drawn at a time: a megabyte stays in the processor's cache.
_CHUNK = 1 << 18


def topology(name: str) -> bytes:
    """The ONNX bytes of a zoo model as shipped: true shapes, no real weights.

    Raises InvalidInput for a name that is not in :data:`NAMES`.
    """
    if name not in NAMES:
        raise InvalidInput(f"the zoo has no model {name!r}; it has {', '.join(NAMES)}")
    folder = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
    return read_model(folder / f"light_{_FILES.get(name, name)}.onnx")


def build(name: str, seed: int = 0) -> bytes:
    """The ONNX bytes of a zoo model with seeded random weights of their true shapes.

    Weights are uniform with variance 2 / fan-in (He et al. 2015, arXiv 1502.01852), so the
    scale of the activations survives the depth; normalisations get positive variances.
    The same name and seed give the same bytes.  Graphs of ``build(name, seed)`` and of
    ``topology(name)`` have the same operators and tensors.

    Raises InvalidInput for a name that is not in :data:`NAMES` or a negative seed.
    """
    if seed < 0:
        raise InvalidInput(f"seed is {seed}; need a whole number >= 0")
    file = open_onnx(topology(name))
    flow = dataflow(file)
    forms = infer(file, flow.inputs, None)
    ranges = _ranges(file, flow, forms)
    model = onnx.ModelProto()
    model.CopyFrom(file.model)
    # From IR 4 on, initialisers need not be declared as inputs, and these are constants.
    model.ir_version = max(model.ir_version, 4)
    del model.graph.node[:], model.graph.input[:]
    model.graph.input.extend(v for v in file.model.graph.input if v.name in flow.inputs)
    kept = sorted(flow.folded.union(flow.operators))
    nodes = [file.model.graph.node[v] for v in kept]
    model.graph.node.extend(n for n in nodes if ranges.keys().isdisjoint(n.output))
    read = {name for node in model.graph.node for name in node.input}
    model.graph.initializer.extend(
        file.tensor(w) for w in file.weights.values() if w.name in read and w.name not in ranges
    )
    rng = np.random.Generator(np.random.SFC64([seed, zlib.crc32(name.encode())]))
    return assemble(
        model,
        [
            raw_weight(weight, shape, _uniform(rng, math.prod(shape), *ranges[weight]))
            for weight in ranges
            if (shape := forms[weight].fixed) is not None
        ],
    )


def name_in(source: str) -> str | None:
    """The zoo's name for what a MODEL argument means, None if it means a file.

    ``zoo:resnet50`` always means the zoo's; a bare ``resnet50`` unless a file is called so.
    """
    if source.startswith("zoo:"):
        return source.removeprefix("zoo:")
    return source if source in NAMES and not Path(source).exists() else None


def read(source: str, *, seed: int = 0) -> bytes:
    """The bytes that a MODEL argument means: a zoo model with seeded weights, or a file.

    Raises InvalidInput when there is neither, or for a negative seed.
    """
    name = name_in(source)
    if name is not None:
        return build(name, seed)
    try:
        return read_model(source)
    except InvalidInput as error:
        if Path(source).suffix or Path(source).exists():
            raise
        raise InvalidInput(f"{error}; zoo models are {', '.join(NAMES)}") from error


def _uniform(rng: np.random.Generator, count: int, low: float, high: float) -> Iterator[memoryview]:
    """``count`` values, a chunk at a time; a chunk is valid until the next one."""
    scratch = np.empty(min(count, _CHUNK), np.dtype("<f4"))
    for start in range(0, count, _CHUNK):
        chunk = scratch[: count - start]
        rng.random(out=chunk, dtype=np.float32)
        chunk *= np.float32(high - low)
        chunk += np.float32(low)
        yield chunk.data


def _ranges(file: OnnxFile, flow: Dataflow, forms: Forms) -> dict[str, tuple[float, float]]:
    """The range of the random values of every float weight, by the role it plays."""
    nodes = file.model.graph.node
    kind = {name: nodes[v].op_type for name, v in flow.producer.items()}
    summed = {name for v in flow.operators if nodes[v].op_type == "Sum" for name in nodes[v].input}
    last = max(v for v in flow.operators if nodes[v].op_type in _PRODUCTS)
    ranges: dict[str, tuple[float, float]] = {}
    for v in flow.operators:
        node = nodes[v]
        for slot, name in enumerate(node.input):
            if slot == 1 and node.op_type in _PRODUCTS:
                # Only a rectifier, which a normalised input has not met, halves the variance.
                gain = 1.0 if kind.get(node.input[0]) == "BatchNormalization" else 2.0
                bound = math.sqrt(3.0 * gain / _fan_in(node, forms[name].fixed or ()))
                low, high = -bound, bound
            else:
                low, high = _RANGES.get((node.op_type, slot), (-0.1, 0.1))
            # A branch that is added to others, and the scores, are kept small: sums must
            # not grow block by block, nor softmax see one winner whatever the picture.
            if slot == 1 and (node.output[0] in summed or v == last):
                low, high = low / 2.0, high / 2.0
            for weight in _leaves(file, flow, name):
                if forms[weight].dtype == "float32":
                    ranges.setdefault(weight, (low, high))
    return ranges


_PRODUCTS = ("Conv", "Gemm")
# Scales and variances; everything else is a bias or a mean.  The mean of scale^2 / variance
# is 0.95, so that a chain of normalisations neither blows up nor dies out.
_RANGES = {
    ("BatchNormalization", 1): (0.5, 1.3),
    ("BatchNormalization", 4): (0.5, 1.5),
    ("Mul", 1): (0.5, 1.4),
}


def _leaves(file: OnnxFile, flow: Dataflow, name: str) -> list[str]:
    """The initialisers and placeholder weights that the constant ``name`` is made of."""
    folded, leaves = flow.behind((name,))
    nodes = [file.model.graph.node[v] for v in folded]
    return sorted(leaves | {n.output[0] for n in nodes if n.op_type == "ConstantOfShape"})


def _fan_in(node: onnx.NodeProto, shape: tuple[int, ...]) -> int:
    """Products summed into one output: the weight is (M, C/group, k...), or a Gemm's matrix."""
    if node.op_type == "Gemm":
        transposed = attributes(node).get("transB")
        return shape[1] if transposed is not None and transposed.i else shape[0]
    return math.prod(shape[1:])
