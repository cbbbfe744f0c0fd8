"""Predictors on devices that we cannot touch: DeepBench's published times.

Each device and precision in turn is the new one: 50 of its rows are known, the others are to be
told.  All predictors may learn from those 50 and from all rows of other devices.  Ours trains one
predictor per other device, moves each to the new one (dds.predict.transfer) and takes their mean
logarithm, weighted by how well each fits the 50 rows.  The baselines learn from the 50 rows and
from the rows of other devices, scaled by the median ratio of the operators that both measured.

The table is not part of DDS; give it with --data: columns device, precision, op (gemm, conv2d),
batch, in_h, in_w, cin, cout, kh, kw, stride_h, stride_w, pad_h, pad_w, M, N, K, latency_ms.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from latency_baselines import BASELINES, REQUIRED, Floats, Rows
from measuring import arguments, progress, text_table, write_json

from dds.errors import InvalidInput
from dds.model import ModelGraph, Operator, Tensor
from dds.predict.network import Recipe
from dds.predict.predictor import Predictor
from dds.predict.training import Sample, train
from dds.predict.transfer import transfer

EXAMPLES = """\
  python benchmarks/deepbench.py --data deepbench.csv --json deepbench.json
  python benchmarks/deepbench.py --data deepbench.csv --quick        two devices
"""

OURS = "ours"
#: Rows that are known of a new device, and the fewest that another device must have.
_KNOWN, _FEWEST = 50, 100
#: Rows are parted into so many models, some of which training holds out.
_PARTS = 10
_BYTES = {"fp32": 4, "fp16_pseudo": 2, "fp16_mixed": 2, "int8": 1}


@dataclass(frozen=True)
class Device:
    """Rows of one device at one precision; keys: the shape of each operator."""

    name: str
    precision: str
    operators: tuple[tuple[Operator, Tensor, Tensor], ...]
    seconds: Floats
    keys: tuple[str, ...]

    def sample(self, chosen: Sequence[int]) -> Sample:
        """Some rows as a measured model whose operators have nothing to do with each other."""
        operators, tensors = [], []
        for k, (operator, given, made) in enumerate(self.operators[row] for row in chosen):
            tensors += [
                Tensor(f"{end}{k}", tensor.shape, "float32", tensor.bytes)
                for end, tensor in (("x", given), ("y", made))
            ]
            operators.append(
                Operator(
                    f"o{k}", operator.kind, (2 * k,), (2 * k + 1,), operator.flops,
                    operator.macs, operator.weight_bytes, kernel=operator.kernel,
                    stride=operator.stride,
                )
            )  # fmt: skip
        inputs, outputs = range(0, len(tensors), 2), range(1, len(tensors), 2)
        graph = ModelGraph(tuple(operators), tuple(tensors), tuple(inputs), tuple(outputs))
        return Sample(graph, self.seconds[list(chosen)], np.full(len(chosen), 0.02))


def main(argv: Sequence[str] | None = None) -> int:
    """Leave one device out, for each; print and write the errors."""
    parser = arguments(__doc__, EXAMPLES)
    parser.add_argument("--data", type=Path, required=True, help="the table, CSV")
    args = parser.parse_args(argv)
    devices = [device for device in read(args.data) if len(device.seconds) >= _FEWEST]
    progress(f"training on each of {len(devices)} devices and precisions")
    recipe = Recipe(steps=100) if args.quick else Recipe()
    predictors = [_trained(device, recipe, args.seed) for device in devices]
    errors: dict[str, dict[str, float]] = {}
    for device in devices[:2] if args.quick else devices:
        errors[f"{device.name}, {device.precision}"] = _left_out(
            device, devices, predictors, args.seed
        )
    means = {
        name: float(np.mean([each[name] for each in errors.values()]))
        for name in (OURS, *BASELINES)
    }
    rows = [[name, *(f"{each[column]:.1%}" for column in means)] for name, each in errors.items()]
    rows.append(["mean", *(f"{error:.1%}" for error in means.values())])
    print(text_table(["left out", *means], rows))
    bar = 1.0 - means[OURS] / float(np.mean([means[name] for name in REQUIRED]))
    wins = sum(all(e[OURS] < e[name] for name in BASELINES) for e in errors.values())
    print(f"ours is {bar:.1%} below the mean of {', '.join(REQUIRED)}; "
          f"below each on {wins} of {len(errors)}")  # fmt: skip
    if args.json:
        write_json(args.json, {"errors": errors, "means": means, "bar": bar, "wins": wins})
    return 0


def read(path: Path) -> list[Device]:
    """The table's devices by name and precision; rows measured twice count once, the faster.

    Raises InvalidInput when a column is missing or holds no number.
    """
    found: dict[tuple[str, str], dict[str, tuple[float, tuple[Operator, Tensor, Tensor]]]] = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                rows = found.setdefault((row["device"], row["precision"]), {})
                key = " ".join(
                    row[column]
                    for column in ("op", "batch", "in_h", "in_w", "cin", "cout", "kh", "kw",
                                   "stride_h", "stride_w", "pad_h", "pad_w", "M", "N", "K", "note")
                )  # fmt: skip
                seconds = float(row["latency_ms"]) * 1e-3
                if seconds > 0.0 and (key not in rows or seconds < rows[key][0]):
                    rows[key] = seconds, _operator(row)
    except (OSError, KeyError, ValueError) as error:
        raise InvalidInput(f"{path}: {error!r}; need DeepBench's table as CSV") from error
    return [
        Device(
            name, precision, tuple(operator for _, operator in rows.values()),
            np.array([seconds for seconds, _ in rows.values()]), tuple(rows),
        )
        for (name, precision), rows in found.items()
    ]  # fmt: skip


def _operator(row: dict[str, str]) -> tuple[Operator, Tensor, Tensor]:
    """An operator of the row, what it reads and what it makes."""
    width = _BYTES[row["precision"]]

    def number(column: str) -> int:
        return int(float(row[column]))

    def tensor(*shape: int) -> Tensor:
        return Tensor("", shape, "float32", width * int(np.prod(shape)))

    if row["op"] == "gemm":
        m, n, k = (number(column) for column in "MNK")
        macs = m * n * k
        operator = Operator("", "Gemm", (), (), 2 * macs, macs, width * m * k)
        return operator, tensor(n, k), tensor(n, m)
    kernel, stride = (number("kh"), number("kw")), (number("stride_h"), number("stride_w"))
    high, wide = (
        (number(f"in_{axis}") + 2 * number(f"pad_{axis}") - size) // step + 1
        for axis, size, step in zip("hw", kernel, stride, strict=True)
    )
    batch, depth, channels = number("batch"), number("cin"), number("cout")
    weights = depth * channels * kernel[0] * kernel[1]
    macs = batch * high * wide * weights
    operator = Operator(
        "", "Conv", (), (), 2 * macs, macs, width * weights, kernel=kernel, stride=stride
    )
    given = tensor(batch, depth, number("in_h"), number("in_w"))
    return operator, given, tensor(batch, channels, high, wide)


def _trained(device: Device, recipe: Recipe, seed: int) -> Predictor:
    order = np.random.default_rng(seed).permutation(len(device.seconds))
    parts = [device.sample(part) for part in np.array_split(order, _PARTS)]
    return train(parts, device.name, seed=seed, recipe=recipe).predictor


def _left_out(
    new: Device, devices: Sequence[Device], predictors: Sequence[Predictor], seed: int
) -> dict[str, float]:
    """Mean error of each predictor on the rows of `new` that are not known."""
    progress(f"{new.name}, {new.precision}")
    order = np.random.default_rng(seed).permutation(len(new.seconds))
    known, asked = new.sample(order[:_KNOWN]), new.sample(order[_KNOWN:])
    others = [
        (device, predictor)
        for device, predictor in zip(devices, predictors, strict=True)
        if device.name != new.name
    ]
    told = {OURS: _ours(known, asked, [predictor for _, predictor in others])}
    rows = Rows.of([known, *(_scaled(new, order[:_KNOWN], device) for device, _ in others)])
    told |= {name: fit(rows)(Rows.of([asked])) for name, fit in BASELINES.items()}
    return {
        name: float(np.abs(seconds / asked.seconds - 1.0).mean()) for name, seconds in told.items()
    }


def _ours(known: Sample, asked: Sample, predictors: Sequence[Predictor]) -> Floats:
    logs, weights = [], []
    for predictor in predictors:
        moved = transfer(predictor, [known], "new")
        error = np.log(moved.operator_times(known.graph) / known.seconds)
        weights.append(1.0 / float(np.mean(error**2)) ** 2)
        logs.append(np.log(moved.operator_times(asked.graph)))
    return np.asarray(np.exp(np.average(logs, axis=0, weights=weights)))


def _scaled(new: Device, known: Sequence[int], other: Device) -> Sample:
    """The other device's rows, its times brought to the new one's."""
    theirs = dict(zip(other.keys, other.seconds, strict=True))
    ratios = [new.seconds[k] / theirs[new.keys[k]] for k in known if new.keys[k] in theirs]
    if not ratios:
        ratios = [float(np.median(new.seconds[list(known)]) / np.median(other.seconds))]
    sample = other.sample(range(len(other.seconds)))
    return replace(sample, seconds=float(np.median(ratios)) * sample.seconds)


if __name__ == "__main__":
    raise SystemExit(main())
