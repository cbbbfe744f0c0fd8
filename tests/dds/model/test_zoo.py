"""The zoo: nine models of the right size that run and answer to their input."""

from __future__ import annotations

import numpy as np
import pytest

from dds.errors import InvalidInput
from dds.model import zoo
from dds.model.importer import load_model

# Operators, multiply-adds and parameters.  Published: He et al. 2015 3.8 GMAC (ResNet-50; 4.1
# with the stride in the 3x3 layer), Simonyan & Zisserman 19.6 GMAC and 143.7 M (VGG-19),
# Szegedy et al. ~1.5 GMAC (GoogLeNet), Huang et al. 2.8 GMAC (DenseNet-121), Iandola et al.
# 1.24 M (SqueezeNet; version 1.1 0.35 GMAC), Krizhevsky et al. 61 M (AlexNet, here at 224).
# DenseNet's 7.98 M are without the statistics of its normalisations, which are stored too.
PUBLISHED = {
    "alexnet": (24, 0.655e9, 60.97e6),
    "densenet121": (668, 2.83e9, 8.146e6),
    "inception_v1": (143, 1.43e9, 7.00e6),
    "inception_v2": (371, 2.02e9, 11.2e6),
    "resnet50": (176, 4.09e9, 25.6e6),
    "shufflenet": (203, 0.125e9, 1.42e6),
    "squeezenet": (66, 0.349e9, 1.235e6),
    "vgg19": (46, 19.63e9, 143.67e6),
    "zfnet512": (22, 1.48e9, 87.25e6),
}


@pytest.mark.parametrize("name", zoo.NAMES)
def test_sizes_are_the_published_ones(name):
    graph = load_model(zoo.topology(name))
    operators, macs, parameters = PUBLISHED[name]
    assert len(graph.operators) == operators
    assert sum(op.macs for op in graph.operators) == pytest.approx(macs, rel=0.005)
    assert graph.weight_bytes / 4 == pytest.approx(parameters, rel=0.01)
    assert [graph.tensors[t].shape for t in graph.inputs] == [(1, 3, 224, 224)]


@pytest.mark.parametrize("name", ["squeezenet", "shufflenet", "inception_v1", "densenet121"])
def test_built_models_answer_to_their_input(name, run):
    model = zoo.build(name)
    graph = load_model(model)
    rng = np.random.default_rng(0)
    pictures = (rng.random((1, 3, 224, 224), np.float32), rng.random((1, 3, 224, 224), np.float32))
    a, b = (
        run(model, {graph.tensors[graph.inputs[0]].name: picture}, optimise=True).popitem()[1]
        for picture in pictures
    )
    assert np.isfinite(a).all()
    assert a.size == 1000
    # Not one winner whatever the picture, and not the same answer to both pictures.
    if "Softmax" in {op.kind for op in graph.operators}:
        assert a.max() < 0.99
    assert not np.allclose(a, b, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ["squeezenet", "shufflenet", "densenet121"])
def test_topology_and_build_have_the_same_graph(name):
    shipped, built = load_model(zoo.topology(name)), load_model(zoo.build(name))
    assert shipped.tensors == built.tensors
    assert (shipped.inputs, shipped.outputs) == (built.inputs, built.outputs)

    def facts(op):
        return op.name, op.kind, op.inputs, op.outputs, op.flops, op.macs, op.weight_bytes

    assert list(map(facts, shipped.operators)) == list(map(facts, built.operators))


def test_the_same_seed_gives_the_same_bytes():
    assert zoo.build("squeezenet", 3) == zoo.build("squeezenet", 3)
    assert zoo.build("squeezenet", 3) != zoo.build("squeezenet", 4)


def test_vgg19_is_as_large_as_the_real_one():
    model = zoo.build("vgg19")
    assert len(model) == pytest.approx(574.67e6, rel=1e-4)
    assert load_model(model).weight_bytes == 4 * 143_667_240 + 16


def test_read_takes_zoo_names_and_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert zoo.read("zoo:squeezenet") == zoo.read("squeezenet") == zoo.build("squeezenet")
    assert zoo.read("squeezenet", seed=3) == zoo.build("squeezenet", 3)
    assert zoo.name_in("squeezenet") == zoo.name_in("zoo:squeezenet") == "squeezenet"
    (tmp_path / "squeezenet").write_bytes(b"mine")
    assert zoo.read("squeezenet") == b"mine"
    assert zoo.name_in("squeezenet") is None
    assert zoo.read("zoo:squeezenet") != b"mine"


def test_wrong_names_say_what_there_is():
    for call in (zoo.topology, zoo.build, lambda name: zoo.read(f"zoo:{name}"), zoo.read):
        with pytest.raises(InvalidInput, match=r"alexnet, densenet121, .*zfnet512"):
            call("lenet")
    with pytest.raises(InvalidInput, match=r"no such model file: 'none\.onnx'"):
        zoo.read("none.onnx")
    with pytest.raises(InvalidInput, match="seed is -1"):
        zoo.build("squeezenet", -1)
