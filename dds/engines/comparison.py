"""How far two engines' answers are apart, and a model on the fastest engine that gets it right.

A wrong conversion raises no error, so what an engine makes of a model is believed only after its
outputs have been compared with onnxruntime's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dds.engines.engine import Array, Engine, TensorSpec, Wrapped
from dds.engines.on_onnxruntime import OnnxRuntime
from dds.errors import InvalidInput
from dds.profile.runtime import random_tensor

__all__ = [
    "TOLERANCE",
    "Checked",
    "allowed",
    "checked",
    "compare",
    "difference",
    "random_feeds",
]

#: Largest difference, of a tensor's largest value, that passes: over ten times what float32
#: engines differ by on the zoo, a tenth of the least that a wrong conversion was seen to make.
TOLERANCE = 1e-4


def allowed(dtype: np.dtype[Any], tolerance: float = TOLERANCE) -> float:
    """The tolerance for tensors of a type: at least five units in the last place (float16: 0.5 %).

    0 for what is not floating: it must be equal.
    """
    if not np.issubdtype(dtype, np.inexact):
        return 0.0
    return max(tolerance, 5.0 * float(np.finfo(dtype).eps))


def difference(value: Array, reference: Array) -> float:
    """How far a tensor is from what it should be: largest abs(v - r) / largest abs(r).

    0 where all are equal; infinite where types, shapes, or the places of infinities and NaN
    differ, and for integers, booleans and text that are not equal.
    """
    if value.dtype != reference.dtype or value.shape != reference.shape:
        return np.inf
    if not np.issubdtype(reference.dtype, np.inexact):
        return 0.0 if np.array_equal(value, reference) else np.inf
    finite = np.isfinite(reference)
    if not np.array_equal(np.where(finite, 0, value), np.where(finite, 0, reference), True):
        return np.inf
    exact = np.float64 if np.issubdtype(reference.dtype, np.floating) else np.complex128
    ours, theirs = value[finite].astype(exact), reference[finite].astype(exact)
    if not np.isfinite(ours).all():
        return np.inf
    apart = float(np.abs(ours - theirs).max(initial=0.0))
    return apart / largest if (largest := float(np.abs(theirs).max(initial=0.0))) else apart


def compare(
    engine: str,
    values: Mapping[str, Array],
    truth: Mapping[str, Array],
    tolerance: float = TOLERANCE,
) -> tuple[dict[str, float], str]:
    """How far values are from what is true, and in one line which is the first that is too far.

    The :func:`difference` of each tensor of `truth`, in its order; "" where all of them are
    :func:`allowed`.  engine: whose values these are.
    """
    apart = {name: difference(values[name], truth[name]) for name in truth}
    for name, far in apart.items():
        limit = allowed(truth[name].dtype, tolerance)
        if not far <= limit:
            return apart, (
                f"{engine} computes {name!r} differently: by {far:.2g} of its largest value, "
                f"tolerance {limit:.2g}"
            )
    return apart, ""


def random_feeds(inputs: Sequence[TensorSpec], rng: np.random.Generator) -> dict[str, Array]:
    """One random input as of :func:`dds.profile.runtime.random_inputs`.

    Raises InvalidInput for a shape left open and for text.
    """
    for spec in inputs:
        if min(spec.shape, default=0) < 0:
            raise InvalidInput(f"input {spec.name!r} is {spec}: fix its shape in the model")
    return {spec.name: random_tensor(spec.name, spec.dtype, spec.shape, rng) for spec in inputs}


@dataclass(frozen=True)
class Checked(Wrapped):
    """An executable whose outputs were compared with onnxruntime's.

    engine: the name of the engine that it runs on; why: empty, or in one line why that is
    onnxruntime and not the one asked for; differences: of each output on the one asked for, see
    :func:`difference`; empty if it refused the model.
    """

    engine: str
    why: str
    differences: Mapping[str, float]


def checked(
    engine: Engine,
    model: bytes,
    *,
    feeds: Mapping[str, Array] | None = None,
    tolerance: float = TOLERANCE,
    reference: Engine | None = None,
) -> Checked:
    """A model on an engine if its outputs are right there, else on onnxruntime.

    Right: every output differs by at most ``tolerance``, see :func:`difference`, :func:`allowed`.
    feeds: what to compare on; by default one random input, the same in every call.
    reference: by default onnxruntime with one thread; also what is fallen back on.

    Raises InvalidInput when onnxruntime cannot run the model either, and for open shapes and text
    without ``feeds``.
    """
    reference = reference or OnnxRuntime()
    truth = reference.load(model)
    if engine.name == reference.name:
        return Checked(truth, engine.name, "", {spec.name: 0.0 for spec in truth.outputs})
    if feeds is None:
        feeds = random_feeds(truth.inputs, np.random.default_rng(0))
    expected = truth.run(feeds)
    try:
        executable = engine.load(model)
    except InvalidInput as error:
        return Checked(truth, reference.name, str(error), {})
    try:
        apart, why = compare(engine.name, executable.run(feeds), expected, tolerance)
    except InvalidInput as error:
        apart, why = {}, str(error)
    if why:
        executable.close()
        return Checked(truth, reference.name, why, apart)
    truth.close()
    return Checked(executable, engine.name, "", apart)
