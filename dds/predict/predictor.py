"""A learned predictor: seconds per operator of any model graph, and how sure it is.

    t = roofline(work) exp(median_m n_m(features))

where n_m are the members of a small ensemble of networks, one ensemble per operator family;
an operator of a family with too few measurements is left to an ensemble that learned from all.
A predictor goes wherever a measured profile goes: ``dds.frontier(graph, predictor, ...)``.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dds.errors import InvalidInput
from dds.files import write_whole
from dds.model.graph import ModelGraph
from dds.predict import roofline
from dds.predict.features import COLUMNS, FAMILIES, WORK, Features, features
from dds.predict.network import Ensemble
from dds.predict.onnxnet import MOST_BYTES, Networks, ensembles_from_onnx, ensembles_to_onnx
from dds.profile.runtime import DEFAULT_RUNTIME, Runtime

__all__ = ["POOLED", "Expert", "Prediction", "Predictor", "shift_terms"]

Floats = NDArray[np.float64]

#: The expert of all families together.
POOLED = "pooled"
_FORMAT = "dds-predictor/1"
_JSON, _NETWORK = "predictor.json", "network.onnx"
_MOST_JSON_BYTES = 1 << 20
#: Columns of :func:`shift_terms`.
_SHIFT_TERMS = 1 + len(FAMILIES) + 4
#: Networks only correct the roofline: by at most this factor's logarithm, however far off
#: their training data an operator lies.
_MOST_LOG = 3.0
#: A bound looser than a factor of exp(this) says nothing more.
_MOST_UNCERTAIN = 50.0


@dataclass(frozen=True)
class Expert:
    """What is known of one family besides its networks.

    roofline: coefficients as of :func:`dds.predict.roofline.fit`; spread: standard deviation
    of the log error on models held out; widen: by how much that, together with the members'
    disagreement, is multiplied for the bound that 90 % of the errors keep; rows: operators
    learned from.
    """

    roofline: tuple[float, ...]
    spread: float
    widen: float
    rows: int

    def __post_init__(self) -> None:
        numbers = (*self.roofline, self.spread, self.widen, self.rows)
        if len(self.roofline) != len(WORK) + 1 or not all(
            math.isfinite(number) and number >= 0.0 for number in numbers
        ):
            raise InvalidInput(
                f"predictor: an expert needs {len(WORK) + 1} coefficients, a spread, a widening "
                "and a count, all finite and >= 0"
            )


@dataclass(frozen=True)
class Prediction:
    """What a predictor says of a graph's operators.

    seconds: each > 0; uncertainty: u such that 90 % of times lie within a factor of exp(+-u);
    families: of each operator; pooled: whether the pooled expert spoke for want of a better.
    """

    seconds: Floats
    uncertainty: Floats
    families: tuple[str, ...]
    pooled: NDArray[np.bool_]


@dataclass(frozen=True)
class Predictor:
    """A predictor for one platform.

    platform: fingerprint of what it was trained on; runtime: how onnxruntime was set there, which
    says what it fuses; experts and ensembles: by family, and for
    :data:`POOLED`, which must be there; shift: what was learned from a few measurements of
    another platform, coefficients as of :func:`dds.predict.transfer.transfer`, or empty.

    Raises InvalidInput when these do not belong together.
    """

    platform: str
    experts: Mapping[str, Expert]
    ensembles: Mapping[str, Ensemble]
    runtime: Runtime = DEFAULT_RUNTIME
    shift: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        known = {*FAMILIES, POOLED}
        if self.experts.keys() != self.ensembles.keys() or POOLED not in self.experts:
            raise InvalidInput("predictor: need one expert per network, a pooled one among them")
        if not self.experts.keys() <= known:
            raise InvalidInput(f"predictor: families must be among {', '.join(sorted(known))}")
        if any(len(each.mean) != len(COLUMNS) for each in self.ensembles.values()):
            raise InvalidInput(f"predictor: a network does not read {len(COLUMNS)} features; "
                               "train it again with this version")  # fmt: skip
        if len(self.shift) not in (0, _SHIFT_TERMS) or not all(map(math.isfinite, self.shift)):
            raise InvalidInput(f"predictor: shift needs {_SHIFT_TERMS} finite numbers, or none")

    def operator_times(self, graph: ModelGraph) -> Floats:
        """Seconds per operator of `graph`, fused or not: shape (operators,), each > 0."""
        return self.predict(features(graph)).seconds

    def uncertainty(self, graph: ModelGraph) -> Floats:
        """Uncertainty u per operator of `graph`: 90 % of times lie within a factor of exp(+-u)."""
        return self.predict(features(graph)).uncertainty

    def predict(self, seen: Features) -> Prediction:
        """Predict from features: :meth:`operator_times` with all that is known about it.

        Raises InvalidInput when the networks say something that is no number.
        """
        count = len(seen.family)
        seconds, uncertainty = np.ones(count), np.ones(count)
        pooled = np.zeros(count, bool)
        rows_of: dict[str, NDArray[np.int64]] = {}
        for index in np.unique(seen.family):
            rows = np.flatnonzero(seen.family == index)
            if FAMILIES[index] in self.experts:
                rows_of[FAMILIES[index]] = rows
            else:
                pooled[rows] = True
        if pooled.any():
            rows_of[POOLED] = np.flatnonzero(pooled)
        if rows_of:
            said = self._networks({name: seen.values[rows] for name, rows in rows_of.items()})
            for name, rows in rows_of.items():
                expert = self.experts[name]
                logs = np.clip(np.asarray(said[name], np.float64), -_MOST_LOG, _MOST_LOG)
                with np.errstate(over="ignore"):
                    base = roofline.evaluate(np.array(expert.roofline), seen.work[rows])
                    seconds[rows] = base * np.exp(np.median(logs, axis=0))
                    apart = np.hypot(logs.std(axis=0), expert.spread)
                    uncertainty[rows] = np.minimum(expert.widen * apart, _MOST_UNCERTAIN)
        if self.shift:
            with np.errstate(over="ignore", invalid="ignore"):
                moved = shift_terms(seen) @ np.array(self.shift)
            seconds *= np.exp(np.clip(moved, -50.0, 50.0))
        # Weights are finite, but what a damaged file makes of them need not be.
        if not (np.isfinite(seconds).all() and np.isfinite(uncertainty).all()):
            raise InvalidInput("predictor: its numbers overflow on this model; train it again")
        families = tuple(FAMILIES[index] for index in seen.family.tolist())
        return Prediction(seconds, uncertainty, families, pooled)

    @cached_property
    def _networks(self) -> Networks:
        return Networks(self.ensembles)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write ``predictor.json`` and ``network.onnx`` into `folder`, which is made if need be.

        Raises InvalidInput when it cannot be written.
        """
        network = ensembles_to_onnx(self.ensembles)
        document = {
            "format": _FORMAT,
            "platform": self.platform,
            "runtime": asdict(self.runtime),
            "columns": list(COLUMNS),
            "network": hashlib.sha256(network).hexdigest(),
            "experts": {name: asdict(expert) for name, expert in self.experts.items()},
            "shift": list(self.shift),
        }
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
            write_whole(Path(folder) / _NETWORK, network)
            write_whole(Path(folder) / _JSON, (json.dumps(document, indent=1) + "\n").encode())
        except OSError as error:
            raise InvalidInput(f"cannot write the predictor to {folder}: {error}") from error

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Predictor:
        """The predictor that :meth:`save` wrote.

        Raises InvalidInput, naming the file, for a folder that is none, for files that are
        damaged or do not belong together, and for one that another version wrote.
        """
        place = Path(folder) / _JSON
        text = _read(place, _MOST_JSON_BYTES)
        try:
            document = json.loads(text)
            if document["format"] != _FORMAT or document["columns"] != list(COLUMNS):
                raise ValueError("written by another version; train it again")
            network = _read(Path(folder) / _NETWORK, MOST_BYTES)
            if hashlib.sha256(network).hexdigest() != document["network"]:
                raise ValueError(f"{_NETWORK} is not the one it was written with")
            return cls(
                platform=str(document["platform"]),
                runtime=Runtime.from_fields(document["runtime"]),
                experts={str(k): _expert(v) for k, v in document["experts"].items()},
                ensembles=ensembles_from_onnx(network),
                shift=tuple(float(number) for number in document["shift"]),
            )
        except (
            AttributeError,
            KeyError,
            OverflowError,
            RecursionError,
            TypeError,
            ValueError,
        ) as error:
            reason = f"no {error}" if isinstance(error, KeyError) else error
            raise InvalidInput(f"{place}: {reason}") from error


def shift_terms(seen: Features) -> Floats:
    """What a shift to another platform is linear in: shape (operators, terms).

    One for all operators, one per family, and the logarithms of FLOPs, of bytes of activations and
    of weights, and of elements per channel, brought to about the size of one.
    """
    own = np.eye(len(FAMILIES))[seen.family]
    flops, moved, weights, _ = np.log2(1.0 + seen.work).T
    points = seen.values[:, COLUMNS.index("points_out")]
    return np.column_stack(
        (
            np.ones(len(own)),
            own,
            flops / 8 - 2.5,
            moved / 8 - 2.3,
            weights / 8 - 1.0,
            points / 4 - 2,
        )
    )


def _expert(fields: Any) -> Expert:
    return Expert(
        roofline=tuple(float(number) for number in fields["roofline"]),
        spread=float(fields["spread"]),
        widen=float(fields["widen"]),
        rows=int(fields["rows"]),
    )


def _read(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise InvalidInput(
            f"no predictor in {path.parent}: {error.strerror}; make one with dds train-predictor"
        ) from error
    if len(data) > most:
        raise InvalidInput(f"{path}: more than {most} bytes is no predictor")
    return data
