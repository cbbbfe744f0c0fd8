"""What every engine must do: one suite, whoever wrote the engine (needs onnx and onnxruntime).

:func:`engine_conformance` runs all of it; :data:`CHECKS` has its parts, for a parametrized test::

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test_my_engine_conforms(check):
        check(MyEngine())

An engine need not know every operator: what it does not know it refuses, with one line.  What it
gets wrong without a word, :func:`dds.engines.checked` finds; :func:`node_models` counts it.
"""

# ruff: noqa: S101 - to assert is what this module is for
from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dds.engines.comparison import allowed, difference, random_feeds
from dds.engines.engine import Engine, Executable, TensorSpec
from dds.engines.on_onnxruntime import OnnxRuntime
from dds.errors import InvalidInput
from dds.model import zoo
from dds.model.importer import load_model
from dds.parallel.rewrite import Source
from dds.parallel.tiles import Tile
from dds.testing.models import text_model

__all__ = ["CHECKS", "NodeModels", "engine_conformance", "node_models"]

Array = NDArray[Any]
Feeds = Mapping[str, Array]

#: One of its outputs is made of both inputs, one is an input, one a constant.
_SMALL = """(float[2,3] b, float[2,3] a) => (float[2,3] sum, float[2,3] same, float[3] fixed)
    <float[3] w = {1.0, 2.0, 3.0}> {
    scaled = Mul(a, w)
    sum = Sub(scaled, b)
    same = Identity(a)
    fixed = Identity(w)
}"""


def engine_conformance(engine: Engine) -> None:
    """Hold an engine to every check; AssertionError says what it does not keep."""
    for check in CHECKS:
        check(engine)


def forms_are_the_models(engine: Engine) -> None:
    """Names, types, shapes and order of inputs and outputs are the model's; weights are none."""
    assert engine.name, "an engine has a name"
    loaded = engine.load(text_model(_SMALL))
    inputs = tuple(TensorSpec(name, "float32", (2, 3)) for name in "ba")
    outputs = tuple(
        TensorSpec(name, "float32", shape)
        for name, shape in (("sum", (2, 3)), ("same", (2, 3)), ("fixed", (3,)))
    )
    assert tuple(loaded.inputs) == inputs, f"inputs are {loaded.inputs}, not {inputs}"
    assert tuple(loaded.outputs) == outputs, f"outputs are {loaded.outputs}, not {outputs}"
    typed = text_model("(int64[2] i, bool[2] p) => (int64[2] j, bool[2] q) {j = Neg(i) q = Not(p)}")
    other = engine.load(typed)
    assert [spec.dtype for spec in (*other.inputs, *other.outputs)] == ["int64", "bool"] * 2
    found = other.run({"p": np.array([True, False]), "i": np.array([1, -2])})
    assert {name: value.tolist() for name, value in found.items()} == {
        "j": [-1, 2],
        "q": [False, True],
    }
    assert found["j"].dtype == np.int64
    scalar = engine.load(text_model("(float x, float[2] v) => (float y) {y = Mul(x, x)}"))
    found = scalar.run({"x": np.array(3.0, np.float32), "v": np.zeros(2, np.float32)})
    assert found["y"].shape == (), f"a scalar has the shape {found['y'].shape}"
    assert found["y"] == 9.0


def answers_are_right(engine: Engine) -> None:
    """Outputs by name, whatever the order of the feeds and wherever in memory they lie."""
    loaded, feeds = _small(engine)
    frozen = {name: value.copy() for name, value in feeds.items()}
    wide = np.zeros((3, 4), np.float32)
    for variant in (
        dict(reversed(feeds.items())),
        {name: np.asfortranarray(value) for name, value in feeds.items()},
        {name: value[::-1].copy()[::-1] for name, value in feeds.items()},
        {**feeds, "a": _laid(wide.T[:2, :], feeds["a"])},
    ):
        for value in variant.values():
            value.flags.writeable = False
        found = loaded.run(variant)
        assert list(found) == ["sum", "same", "fixed"], f"outputs are {list(found)}"
        for name, expected in _expected(frozen).items():
            assert difference(found[name], expected) <= 1e-6, f"{name} is {found[name]}"
        for name, value in variant.items():
            assert np.array_equal(value, frozen[name]), "a run changed what it was fed"


def results_are_the_callers(engine: Engine) -> None:
    """No later run writes to an output, and writing to one changes no later run."""
    loaded, feeds = _small(engine)
    expected = _expected(feeds)
    first = loaded.run(feeds)
    loaded.run({name: value + 1 for name, value in feeds.items()})
    for name, value in first.items():
        assert difference(value, expected[name]) <= 1e-6, f"a later run wrote to {name}"
        assert not any(np.shares_memory(value, fed) for fed in feeds.values()), f"{name} is a feed"
        value[...] = -1.0
    for name, value in loaded.run(feeds).items():
        assert difference(value, expected[name]) <= 1e-6, f"{name} is shared with its caller"


def runs_are_alike(engine: Engine) -> None:
    """The same feeds give the same bits, in later runs and after loading again."""
    model = zoo.build("squeezenet")
    loaded = engine.load(model)
    feeds = random_feeds(loaded.inputs, np.random.default_rng(1))
    first = loaded.run(feeds)
    for again in (loaded, loaded, engine.load(model)):
        for name, value in again.run(feeds).items():
            assert np.array_equal(value, first[name]), f"{name} differs from run to run"


def feeds_must_fit(engine: Engine) -> None:
    """A missing, unknown, mistyped or misshapen feed is one line, and no more harm than that."""
    loaded, feeds = _small(engine)
    for wrong in (
        {"a": feeds["a"]},
        {**feeds, "c": feeds["a"]},
        {**feeds, "a": feeds["a"].astype(np.float64)},
        {**feeds, "a": feeds["a"][:1]},
        {**feeds, "a": feeds["a"][0]},
        {**feeds, "a": feeds["a"].tolist()},
        {},
    ):
        _refused(functools.partial(loaded.run, wrong), "feeds that do not fit")
    assert difference(loaded.run(feeds)["sum"], _expected(feeds)["sum"]) <= 1e-6


def models_must_be_models(engine: Engine) -> None:
    """Bytes that are no model, and operators that nobody knows, are one line."""
    model = text_model(_SMALL)
    unknown = text_model("(float[1] x) => (float[1] y) {y = nobody.Knows(x)}", domains=("nobody",))
    for wrong in (b"", b"no model", model[: len(model) // 2], unknown):
        _refused(functools.partial(engine.load, wrong), "bytes that are no model")


def threads_may_share(engine: Engine) -> None:
    """Runs at the same time give what they give one after the other."""
    loaded = engine.load(zoo.build("squeezenet"))
    several = [random_feeds(loaded.inputs, np.random.default_rng(seed)) for seed in range(4)]
    alone = [loaded.run(feeds) for feeds in several]
    with ThreadPoolExecutor(len(several)) as pool:
        together = list(pool.map(loaded.run, several * 2))
    for one, other in zip(alone * 2, together, strict=True):
        for name, value in other.items():
            assert np.array_equal(value, one[name]), f"{name} differs where threads share a model"


def closing_ends_it(engine: Engine) -> None:
    """Close may be called again; a run afterwards is one line, and other models live on."""
    loaded, feeds = _small(engine)
    other, _ = _small(engine)
    loaded.close()
    loaded.close()
    _refused(lambda: loaded.run(feeds), "a run after close")
    assert difference(other.run(feeds)["sum"], _expected(feeds)["sum"]) <= 1e-6


def real_models_are_right(engine: Engine) -> None:
    """Models of the zoo, and slices of one with paddings that differ, are refused or right."""
    for model in _real():
        truth = OnnxRuntime().load(model)
        feeds = random_feeds(truth.inputs, np.random.default_rng(2))
        try:
            found = engine.load(model).run(feeds)
        except InvalidInput as error:
            _line(error)
            continue
        for name, expected in truth.run(feeds).items():
            far = difference(found[name], expected)
            assert far <= allowed(expected.dtype), f"{name} differs by {far:.2g}"


#: Every check, each of which takes an engine and raises AssertionError.
CHECKS: tuple[Callable[[Engine], None], ...] = (
    forms_are_the_models, answers_are_right, results_are_the_callers, runs_are_alike,
    feeds_must_fit, models_must_be_models, threads_may_share, closing_ends_it,
    real_models_are_right,
)  # fmt: skip


@dataclass(frozen=True)
class NodeModels:
    """What an engine makes of the models that onnx itself is tested with.

    right: how many it computes as onnxruntime does; refused: names, and why; different: names, and
    by how much.
    """

    right: int
    refused: Mapping[str, str]
    different: Mapping[str, float]


def node_models(engine: Engine, every: int = 1) -> NodeModels:
    """Run ``onnx.backend.test``'s generated models, or each so many-th, on an engine.

    Those that onnxruntime cannot run are left out.  An error that is not InvalidInput, or not one
    line, is an AssertionError.
    """
    right, refused, different = 0, {}, {}
    for name, model, feeds in _generated(every):
        try:
            expected = OnnxRuntime().load(model).run(feeds)
        except InvalidInput:
            continue
        try:
            found = engine.load(model).run(feeds)
        except InvalidInput as error:
            refused[name] = _line(error)
            continue
        assert list(found) == list(expected), f"{name}: outputs are {list(found)}"
        far = [(difference(found[k], v), allowed(v.dtype)) for k, v in expected.items()]
        if all(one <= most for one, most in far):
            right += 1
        else:
            different[name] = max(one for one, _ in far)
    return NodeModels(right, MappingProxyType(refused), MappingProxyType(different))


def _generated(every: int) -> Iterator[tuple[str, bytes, Feeds]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some overflow on purpose
        from onnx.backend.test.loader import load_model_tests

        cases = sorted(load_model_tests(kind="node"), key=lambda case: str(case.name))
    for case in cases[::every]:
        if case.model is None or not case.data_sets:
            continue
        names = [value.name for value in case.model.graph.input]
        inputs = case.data_sets[0][0]
        if all(isinstance(value, (np.ndarray, np.generic)) for value in inputs):
            feeds = {k: np.asarray(v) for k, v in zip(names, inputs, strict=False)}
            yield case.name, case.model.SerializeToString(), feeds


def _real() -> Iterator[bytes]:
    yield from (zoo.build(name) for name in ("squeezenet", "shufflenet"))
    model = zoo.build("inception_v1")
    graph = load_model(model)
    source = Source.read(model, graph)
    run = range(9)
    rows = graph.tensors[graph.operators[run[-1]].outputs[0]].shape[2]
    for low, high in ((0, rows // 3), (rows // 3, rows)):
        yield source.tile(Tile(run, "rows", low, high)).model


def _small(engine: Engine) -> tuple[Executable, dict[str, Array]]:
    rng = np.random.default_rng(0)
    feeds = {name: rng.standard_normal((2, 3)).astype(np.float32) for name in "ba"}
    return engine.load(text_model(_SMALL)), feeds


def _expected(feeds: Feeds) -> dict[str, Array]:
    weights = np.array([1, 2, 3], np.float32)
    return {"sum": feeds["a"] * weights - feeds["b"], "same": feeds["a"], "fixed": weights}


def _laid(place: Array, value: Array) -> Array:
    place[...] = value
    return place


def _refused(call: Callable[[], object], what: str) -> None:
    try:
        call()
    except InvalidInput as error:
        _line(error)
    else:
        raise AssertionError(f"{what} passed")


def _line(error: Exception) -> str:
    text = str(error)
    assert len(text.splitlines()) == 1, f"not one line: {text!r}"
    return text
