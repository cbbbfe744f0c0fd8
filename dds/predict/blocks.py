"""Building blocks of networks, with their hyper-parameters drawn at random.

A block takes a picture and returns one.  Each is a way in which published networks put
operators together - a chain, a residual sum, branches that are joined, a shuffle - at sizes of
their own, so that a runtime fuses them and caches hold what they hold in real networks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from dds.predict.sketch import Sketch

__all__ = ["BLOCKS", "Block", "head", "shrunk"]

T = TypeVar("T")
#: Adds operators behind a picture, by its name, and returns the name of another.
Block = Callable[[Sketch, str], str]

#: A convolution is made smaller until it has at most so many multiply-adds.
_MOST_MACS = 1_900_000_000
_MOST_CHANNELS = 2048


def chain(s: Sketch, x: str) -> str:
    """One to three convolutions, each with what often follows one; perhaps a pooling."""
    for _ in range(_whole(s, 1, 3)):
        x = _activated(s, _conv(s, x, _channels(s, x), _kernel(s), bias=_chance(s, 0.7)))
    if _chance(s, 0.3):
        x = _local_norm(s, x)
    return shrunk(s, x) if _chance(s, 0.5) else x


def normalised_chain(s: Sketch, x: str) -> str:
    """One to three convolutions, each normalised, with scale and shift apart or without."""
    apart = _chance(s, 0.4)
    for _ in range(_whole(s, 1, 3)):
        x = s.norm(_conv(s, x, _channels(s, x), _kernel(s), bias=_chance(s, 0.3)))
        x = _activation(s, s.scaled(x) if apart else x)
    return x


def residual(s: Sketch, x: str) -> str:
    """Convolutions whose result is added to what went in, or to a projection of it."""
    depth = s.shapes[x][1]
    inner = max(4, depth // _pick(s, (1, 2, 4)))
    project, stride = _chance(s, 0.3), 1
    out = _channels(s, x) if project else depth
    if project and s.shapes[x][2] >= 14:
        stride = _pick(s, (1, 2))
    y = s.each("Relu", s.norm(_conv(s, x, inner, _pick(s, (1, 3)), stride)))
    if _chance(s, 0.6):
        y = s.each("Relu", s.norm(_conv(s, y, inner, 3)))
    y = s.norm(_conv(s, y, out, _pick(s, (1, 3)), exact=True))
    if project:
        x = s.norm(_conv(s, x, out, 1, stride, exact=True))
    return s.each("Relu", s.together(_pick(s, ("Add", "Sum")), y, x))


def dense(s: Sketch, x: str) -> str:
    """Layers that each see all results before theirs; normalised before the convolution."""
    growth = 8 * _whole(s, 1, 8)
    for _ in range(_whole(s, 1, 4)):
        y = _pre_activated(s, x)
        if _chance(s, 0.7):
            y = _pre_activated(s, _conv(s, y, growth * _pick(s, (2, 4)), 1, bias=False))
        x = s.concat(x, _conv(s, y, growth, 3, bias=False))
    if _chance(s, 0.4):
        y = _conv(s, _pre_activated(s, x), s.shapes[x][1] // 2, 1, bias=False)
        x = s.pool("AveragePool", y, 2, 2) if s.shapes[y][2] >= 4 else y
    return x


def branches(s: Sketch, x: str) -> str:
    """Two to four branches side by side, joined channel after channel."""
    with_norm, ends = _chance(s, 0.5), []

    def layer(y: str, kernel: int, stride: int = 1) -> str:
        y = _conv(s, y, _channels(s, y, 0.1, 0.7), kernel, stride)
        if with_norm:
            y = s.norm(y)
            y = s.scaled(y) if _chance(s, 0.5) else y
        return s.each("Relu", y)

    for branch in range(_whole(s, 2, 4)):
        y = x
        if branch == 3 or (branch == 1 and _chance(s, 0.2)):
            y = s.pool(_pick(s, ("MaxPool", "MaxPool", "AveragePool")), y, 3, 1, 1)
        if branch != 3 and _chance(s, 0.7):
            y = layer(y, 1)
        y = layer(y, _pick(s, (1, 3, 3, 5)))
        ends.append(layer(y, 3) if _chance(s, 0.2) else y)
    return s.concat(*ends)


def squeezed(s: Sketch, x: str) -> str:
    """Few channels, then many from two convolutions whose results are joined."""
    y = s.each("Relu", _conv(s, x, _channels(s, x, 0.1, 0.3), 1))
    wide = _channels(s, y, 2.0, 5.0)
    return s.concat(*(s.each("Relu", _conv(s, y, wide, kernel)) for kernel in (1, 3)))


def shuffled(s: Sketch, x: str) -> str:
    """Convolutions of groups of channels, which are shuffled in between."""
    groups = _pick(s, (2, 3, 4, 8))
    depth = groups * max(4, 4 * round(s.shapes[x][1] / (4 * groups)))
    if depth != s.shapes[x][1]:
        x = _activation(s, _conv(s, x, depth, 1, exact=True))
    depth, inner = s.shapes[x][1], groups * max(4, depth // (groups * 4))
    y = s.each("Relu", s.norm(_conv(s, x, inner, 1, groups=groups, exact=True)))
    _, _, height, width = s.shapes[y]
    y = s.reshape(y, (1, groups, inner // groups, height, width))
    y = s.reshape(s.transpose(y, (0, 2, 1, 3, 4)), (1, inner, height, width))
    stride = 2 if height >= 14 and _chance(s, 0.3) else 1
    y = s.norm(s.conv(y, inner, 3, stride, inner, bias=False))
    y = s.norm(_conv(s, y, depth, 1, groups=groups, exact=True))
    if stride == 1:
        return s.each("Relu", s.together(_pick(s, ("Add", "Sum")), y, x))
    return s.each("Relu", s.concat(s.pool("AveragePool", x, 3, 2, 1), y))


def separable(s: Sketch, x: str) -> str:
    """Wide, by channel, narrow again: depthwise convolutions, perhaps with a gate."""
    depth = s.shapes[x][1]
    act = _pick(s, ("Clip", "Clip", "hard swish", "Relu", "swish"))
    y = x
    if _chance(s, 0.7):
        y = _activation(s, s.norm(_conv(s, x, depth * _pick(s, (2, 3, 4, 6)), 1)), act)
    inner, stride = s.shapes[y][1], 2 if s.shapes[y][2] >= 14 and _chance(s, 0.3) else 1
    y = s.conv(y, inner, _pick(s, (3, 3, 5, 7)), stride, inner, bias=_chance(s, 0.5))
    y = _activation(s, s.norm(y), act)
    if _chance(s, 0.3):
        gate = s.whole_pool("GlobalAveragePool", y)
        gate = s.each("Relu", _conv(s, gate, max(4, inner // 4), 1))
        gate = _conv(s, gate, inner, 1, exact=True)
        y = s.together("Mul", y, s.each(_pick(s, ("Sigmoid", "HardSigmoid")), gate))
    if stride == 1 and _chance(s, 0.7):
        return s.together("Add", s.norm(_conv(s, y, depth, 1, exact=True)), x)
    return s.norm(_conv(s, y, _channels(s, x), 1))


def loose(s: Sketch, x: str) -> str:
    """Operators on their own, without a convolution to join."""
    for _ in range(_whole(s, 1, 4)):
        choice = _whole(s, 0, 7)
        if choice == 0:
            x = s.norm(x)
        elif choice == 1:
            x = s.scaled(x)
        elif choice == 2:
            x = _local_norm(s, x)
        elif choice == 3:
            x = shrunk(s, x)
        elif choice == 4:
            x = s.together(_pick(s, ("Add", "Mul", "Sum")), x, s.each("Sigmoid", x))
        elif choice == 5:
            x = s.each("Dropout", x)
        else:
            x = _activation(s, x, _pick(s, ("Relu", "Relu", *_ACTIVATIONS)))
    return x


def attention(s: Sketch, x: str) -> str:
    """The picture's points attend to each other, in one to eight heads."""
    _, depth, height, width = s.shapes[x]
    points, heads = height * width, _pick(s, (1, 2, 4, 8))
    if points > 800:
        return shrunk(s, x)
    depth = max(heads * 8, min(512, depth) // (heads * 8) * heads * 8)
    if depth != s.shapes[x][1]:
        x = _conv(s, x, depth, 1, exact=True)
    row = s.transpose(s.reshape(x, (1, depth, points)), (0, 2, 1))
    order = ((0, 2, 1, 3), (0, 2, 3, 1), (0, 2, 1, 3))
    query, key, value = (
        s.transpose(s.reshape(s.linear(row, depth), (1, points, heads, depth // heads)), axes)
        for axes in order
    )
    mixed = s.product(s.each("Softmax", s.product(query, key), axis=-1), value)
    mixed = s.reshape(s.transpose(mixed, (0, 2, 1, 3)), (1, points, depth))
    row = s.together("Add", s.linear(mixed, depth), row)
    return s.reshape(s.transpose(row, (0, 2, 1)), (1, depth, height, width))


#: Blocks and how often one is taken: those of classifiers of pictures most.
BLOCKS: tuple[tuple[Block, float], ...] = (
    (chain, 4.0), (normalised_chain, 3.0), (residual, 4.0), (dense, 4.0), (branches, 3.0),
    (squeezed, 2.0), (shuffled, 3.0), (separable, 3.0), (loose, 2.0), (attention, 0.7),
)  # fmt: skip


def head(s: Sketch, x: str, most_weights: int) -> str:
    """From a picture to scores: fully connected layers of at most so many weights."""
    if _chance(s, 0.6) or s.shapes[x][2] * s.shapes[x][3] > 4000:
        x = s.whole_pool(_pick(s, ("GlobalAveragePool",) * 3 + ("GlobalMaxPool",)), x)
    elif _chance(s, 0.5):
        side = min(s.shapes[x][2:])
        x = s.pool("AveragePool", x, side, 1)
    rows = (1, int(np.prod(s.shapes[x])))
    x = s.flatten(x) if _chance(s, 0.5) else s.reshape(x, rows)
    for layer in range(_whole(s, 1, 3)):
        if layer:
            x = s.each("Relu", x)
            x = s.each("Dropout", x) if _chance(s, 0.5) else x
        depth = s.shapes[x][1]
        wish = _pick(s, (1000, 1000, 4096, 4096, 2048, 512, 128, _whole(s, 10, 5000)))
        x = s.gemm(x, max(10, min(wish, most_weights // depth)), _chance(s, 0.7))
    return s.each("Softmax", x, axis=-1) if _chance(s, 0.7) else x


_ACTIVATIONS = (
    "Clip", "Sigmoid", "Tanh", "LeakyRelu", "HardSigmoid", "Elu", "swish", "hard swish",
)  # fmt: skip
#: Activations that multiply their input by another one of it.
_GATES = {"swish": "Sigmoid", "hard swish": "HardSigmoid"}


def _activation(s: Sketch, x: str, kind: str = "") -> str:
    """The activation given, or a random one, a plain rectifier most often."""
    kind = kind or ("Relu" if _chance(s, 0.85) else _pick(s, _ACTIVATIONS))
    if kind in _GATES:
        return s.together("Mul", x, s.each(_GATES[kind], x))
    return s.each(kind, x)


def _activated(s: Sketch, x: str) -> str:
    return _activation(s, x) if _chance(s, 0.9) else x


def _pre_activated(s: Sketch, x: str) -> str:
    x = s.norm(x)
    return s.each("Relu", s.scaled(x) if _chance(s, 0.7) else x)


def _local_norm(s: Sketch, x: str) -> str:
    """Over five channels, as most networks do, or over three."""
    return s.local_norm(x, 5 if _chance(s, 0.8) else 3)


def shrunk(s: Sketch, x: str) -> str:
    """A pooling to about half the size, where the picture is large enough."""
    if min(s.shapes[x][2:]) < 4:
        return x
    kind = _pick(s, ("MaxPool", "MaxPool", "AveragePool"))
    kernel, pad = _pick(s, ((2, 0), (3, 0), (3, 1)))
    return s.pool(kind, x, kernel, _pick(s, (2, 2, 2, 1)) if kernel == 3 else 2, pad)


def _kernel(s: Sketch) -> int:
    return _pick(s, (1, 1, 1, 3, 3, 3, 3, 3, 5, 7))


def _conv(
    s: Sketch, x: str, channels: int, kernel: int, stride: int = 1, groups: int = 1,
    bias: bool = True, exact: bool = False,
) -> str:  # fmt: skip
    """A convolution, with fewer channels (unless exact) or a smaller window if too costly."""
    _, depth, height, width = s.shapes[x]

    def macs(wide: int, size: int) -> float:
        return wide * depth / groups * size * size * height * width / stride**2

    while kernel > 1 and (kernel > min(height, width) or macs(channels, kernel) > _MOST_MACS):
        kernel -= 2
    while not exact and channels > 8 and macs(channels, kernel) > _MOST_MACS:
        channels //= 2
    return s.conv(x, channels, kernel, stride, groups, bias)


def _channels(s: Sketch, x: str, low: float = 0.5, high: float = 2.0) -> int:
    """A number of channels, low to high times those of x; most often a multiple of 8."""
    wish = s.shapes[x][1] * low * (high / low) ** s.rng.random()
    step = _pick(s, (32, 16, 16, 8, 8, 8, 1))
    return int(min(_MOST_CHANNELS, max(step, 4, step * round(wish / step))))


def _whole(s: Sketch, low: int, high: int) -> int:
    """A whole number from low to high, both included."""
    return int(s.rng.integers(low, high + 1))


def _chance(s: Sketch, probability: float) -> bool:
    return bool(s.rng.random() < probability)


def _pick(s: Sketch, choices: tuple[T, ...]) -> T:
    return choices[int(s.rng.integers(len(choices)))]
