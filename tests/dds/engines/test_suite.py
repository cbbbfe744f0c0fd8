"""The suite for engines finds every promise that is broken."""

from __future__ import annotations

import numpy as np
import pytest

from dds.engines import Engine, TensorSpec, engine
from dds.errors import InvalidInput
from dds.testing import engines as suite
from dds.testing.engines import engine_conformance


class Broken:
    """onnxruntime, but for what a subclass breaks."""

    name = "broken"

    def __init__(self) -> None:
        self.engine: Engine = engine("onnxruntime")

    def load(self, model: bytes):
        return BrokenModel(self.engine.load(model), self)

    def forms(self, specs):
        return specs

    def run(self, loaded, feeds):
        return loaded.run(feeds)

    def close(self, loaded) -> None:
        loaded.close()


class BrokenModel:
    def __init__(self, loaded, broken: Broken) -> None:
        self.loaded, self.broken = loaded, broken
        self.inputs, self.outputs = broken.forms(loaded.inputs), broken.forms(loaded.outputs)

    def run(self, feeds):
        return self.broken.run(self.loaded, feeds)

    def close(self) -> None:
        self.broken.close(self.loaded)


class Renames(Broken):
    def forms(self, specs):
        return tuple(TensorSpec(f"{spec.name}:0", spec.dtype, spec.shape) for spec in specs)


class IsOff(Broken):
    def run(self, loaded, feeds):
        return {
            name: value * 1.01 if value.dtype.kind == "f" else value
            for name, value in loaded.run(feeds).items()
        }


class WritesToFeeds(Broken):
    def run(self, loaded, feeds):
        found = loaded.run(feeds)
        for value in feeds.values():
            value.flags.writeable = True
            value *= 2
        return found


class ReusesOutputs(Broken):
    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[str, np.ndarray] = {}

    def run(self, loaded, feeds):
        for name, value in loaded.run(feeds).items():
            kept = self.kept.setdefault(name, np.empty_like(value))
            if kept.shape != value.shape or kept.dtype != value.dtype:
                kept = self.kept[name] = np.empty_like(value)
            kept[...] = value
        return {spec.name: self.kept[spec.name] for spec in loaded.outputs}


class Wavers(Broken):
    def __init__(self) -> None:
        super().__init__()
        self.runs = 0

    def run(self, loaded, feeds):
        self.runs += 1
        return {
            name: value * np.float32(1 + 1e-7 * (self.runs % 7))
            if value.dtype.kind == "f"
            else value
            for name, value in loaded.run(feeds).items()
        }


class FeedsAnything(Broken):
    def run(self, loaded, feeds):
        try:
            return loaded.run(feeds)
        except InvalidInput:
            return {}


class Rambles(Broken):
    def load(self, model: bytes):
        try:
            return super().load(model)
        except InvalidInput as error:
            raise InvalidInput(f"{error}\nin line 1") from error


class Leaks(Broken):
    def load(self, model: bytes):
        try:
            return super().load(model)
        except InvalidInput as error:
            raise RuntimeError("what the runtime raised") from error


class NeverCloses(Broken):
    def close(self, loaded) -> None:
        pass


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        (Renames, suite.forms_are_the_models),
        (IsOff, suite.answers_are_right),
        (IsOff, suite.real_models_are_right),
        (WritesToFeeds, suite.answers_are_right),
        (ReusesOutputs, suite.results_are_the_callers),
        (Wavers, suite.runs_are_alike),
        (Wavers, suite.threads_may_share),
        (FeedsAnything, suite.feeds_must_fit),
        (Rambles, suite.models_must_be_models),
        (NeverCloses, suite.closing_ends_it),
    ],
)
def test_a_broken_promise_is_found(broken, check) -> None:
    with pytest.raises(AssertionError):
        check(broken())


def test_an_error_that_is_not_ours_gets_through() -> None:
    with pytest.raises(RuntimeError, match="what the runtime raised"):
        suite.models_must_be_models(Leaks())


def test_nothing_broken_is_nothing_found() -> None:
    engine_conformance(Broken())
