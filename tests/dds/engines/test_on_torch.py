"""The PyTorch engine, its files, and models that PyTorch exports (run by ``make engines``)."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dds import load_model
from dds.engines import checked, engine
from dds.engines.comparison import difference, random_feeds
from dds.engines.conversion import convert
from dds.engines.importing import from_torch
from dds.engines.on_torch import steps
from dds.engines.saving import save
from dds.errors import InvalidInput
from dds.model import zoo
from dds.parallel.normalise import normalise
from dds.parallel.rewrite import Source
from dds.parallel.tiles import Tile, blocks, bounds, extent, sliceable
from dds.profile.runtime import Runtime
from dds.testing.models import text_model

TORCH = engine("torch")


@pytest.mark.parametrize("name", [name for name in zoo.NAMES if name not in ("vgg19", "zfnet512")])
def test_models_of_the_zoo_are_right_also_inside(name: str) -> None:
    done = convert(zoo.build(name), TORCH, boundaries=True)
    assert done.refused == ""
    assert max(done.differences.values()) < 1e-5


@pytest.mark.parametrize("name", ["squeezenet", "shufflenet"])
def test_slices_are_right(name: str) -> None:
    model = normalise(zoo.build(name))
    graph = load_model(model)
    source, compared = Source.read(model, graph), 0
    for run in blocks(graph)[::3]:
        for kind in ("rows", "channels"):
            if sliceable(graph, run, kind):
                low, high, *_ = bounds(extent(graph, run, kind), [1.0, 2.0])
                loaded = checked(TORCH, source.tile(Tile(run, kind, low, high)).model)
                assert (loaded.engine, loaded.why) == ("torch", "")
                compared += 1
    assert compared > 30


def test_tensors_are_let_go_when_nobody_reads_them_any_more() -> None:
    made = steps(text_model("(float[2] x) => (float[2] y) {a = Relu(x) b = Tanh(a) y = Add(b, a)}"))
    assert [step.last for step in made.steps] == [("x",), (), ("a", "b")]


def test_constants_are_computed_once() -> None:
    text = """(float[2,3] x) => (float[3,2] y) <int64[2] w = {3, 2}, int64[2] zero = {0, 0}> {
        target = Add(w, zero)
        unread = Neg(w)
        y = Reshape(x, target)
    }"""
    made = steps(text_model(text))
    assert [step.where for step in made.steps] == ["Reshape 2"]
    assert set(made.constants) == {"target"}


def test_shapes_are_known_before_tensors_are() -> None:
    text = "(float[2,3] x, float[6] z) => (float[2,3] y) {s = Shape(x) y = Reshape(z, s)}"
    feeds = {"x": np.zeros((2, 3), np.float32), "z": np.arange(6, dtype=np.float32)}
    assert TORCH.load(text_model(text)).run(feeds)["y"].tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("(float[2,2] x) => (float y) {y = Det(x)}", "torch has no operator Det 0"),
        (
            "(float[4] x, int64[1] s) => (float[n] y) {y = Reshape(x, s)}",
            "shapes that are computed",
        ),
        (
            "(float[1,1,4] x, float[1,1,2] w) => (float[1,1,3] y) {y = Conv(x, w)}",
            "weights that are",
        ),
        ("(float[n] x) => (int64[1] y) {y = Shape(x)}", "with sizes left open"),
        ("(float[n] x) => (float[n] y) {a = Relu(x)}", "nothing makes output 'y'"),
    ],
)
def test_what_is_not_known_is_refused_when_it_is_loaded(text: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        TORCH.load(text_model(text))


def test_what_fails_while_it_runs_names_the_operator() -> None:
    text = "(float[n] x, float[m] z) => (float[k] y) {y = Add(x, z)}"
    with pytest.raises(InvalidInput, match=r"torch cannot run Add 0: The size of tensor a \(2\)"):
        TORCH.load(text_model(text)).run({"x": np.ones(2, np.float32), "z": np.ones(3, np.float32)})


@given(st.integers(1, 2))
def test_the_threads_are_the_runtimes(threads: int) -> None:
    loaded = engine("torch", Runtime(threads)).load(
        text_model("(float[2] x) => (float[2] y) {y = Relu(x)}")
    )
    loaded.run({"x": np.zeros(2, np.float32)})
    assert torch.get_num_threads() == threads


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning", "ignore:.*:FutureWarning")
def test_its_files_are_read_by_torch(tmp_path) -> None:
    model = zoo.build("shufflenet")
    (path,) = save(model, "torch", tmp_path / "model.pt2")
    assert [p.name for p in tmp_path.iterdir()] == ["model.pt2"]
    loaded = TORCH.load(model)
    feeds = random_feeds(loaded.inputs, np.random.default_rng(0))
    (found,) = torch.export.load(path).module()(*map(torch.from_numpy, feeds.values()))
    assert difference(found.detach().numpy(), *loaded.run(feeds).values()) < 1e-5


class Small(torch.nn.Module):
    """A classifier with what modules have: a branch, a batch norm, a dropout."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two = torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.Conv2d(8, 8, 1)
        self.norm, self.drop = torch.nn.BatchNorm2d(8), torch.nn.Dropout()
        self.last = torch.nn.Linear(8, 5)

    def forward(self, x):
        x = torch.relu(self.norm(self.one(x)))
        return self.last(self.drop((x + self.two(x)).mean((2, 3))))


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning", "ignore:.*:FutureWarning")
def test_modules_of_torch_are_imported(capsys) -> None:
    module = Small()
    picture = torch.randn(1, 3, 16, 16)
    model = from_torch(module, (picture,))
    assert module.training
    assert capsys.readouterr().out == ""
    assert len(load_model(model).operators) > 4
    with torch.no_grad():
        expected = module.eval()(picture).numpy()
    for name in ("onnxruntime", "openvino", "torch"):
        loaded = engine(name).load(model)
        ((_, found),) = loaded.run({loaded.inputs[0].name: picture.numpy()}).items()
        assert difference(found, expected) < 1e-5
    # Nothing of the machine that exported it, such as paths in stack traces, stays in the file.
    assert not any(node.metadata_props for node in onnx.load_from_string(model).graph.node)
    assert __file__.encode() not in model


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning", "ignore:.*:FutureWarning")
def test_a_module_that_cannot_be_exported_is_one_line() -> None:
    class Peeks(torch.nn.Module):
        def forward(self, x):
            return x if float(x.sum()) > 0 else -x

    with pytest.raises(InvalidInput, match=r"torch\.onnx cannot export the module") as caught:
        from_torch(Peeks(), (torch.randn(2),))
    assert "\n" not in str(caught.value)
