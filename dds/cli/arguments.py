"""Flags that several commands share, and how a bad value becomes one clear line.

:func:`quantity` turns a parser of :mod:`dds.units` into an argparse ``type``: the
message names the flag, the process exits with code 2.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from dds.costs.device import DEVICES, Device, find_device
from dds.costs.link import Link
from dds.errors import InvalidInput
from dds.profile.runtime import OPTIMISATIONS, Runtime
from dds.units import parse_bandwidth, parse_round_trip

if TYPE_CHECKING:
    from dds.profile.platform import Platform

__all__ = [
    "add_cache_flags",
    "add_device_flag",
    "add_link_flags",
    "add_model_argument",
    "add_platform_flags",
    "cache_from",
    "chosen",
    "device",
    "fraction",
    "link_from",
    "model_shapes",
    "platform_from",
    "quantity",
    "shape",
]

T = TypeVar("T")


def quantity(
    parse: Callable[[str], float], *, positive: bool = True, infinite: bool = False
) -> Callable[[str], float]:
    """An argparse type: parse the text, require a number > 0 (or >= 0 unless positive).

    infinite: whether ``inf`` is a value too.
    """

    def convert(text: str) -> float:
        if infinite and text.strip().lower() in ("inf", "infinity"):
            return math.inf
        try:
            value = parse(text)
        except InvalidInput as error:
            raise argparse.ArgumentTypeError(str(error)) from None
        if not math.isfinite(value) or value < 0.0 or (positive and value == 0.0):
            raise argparse.ArgumentTypeError(
                f"{text!r} is out of range; need a finite number {'>' if positive else '>='} 0"
            )
        return value

    return convert


def chosen(flag: str, names: Iterable[str] | None, known: Mapping[str, T]) -> dict[str, T]:
    """What a flag names, of what there is; all of it where the flag is not given.

    Raises InvalidInput for a name that is unknown.
    """
    wanted = known if names is None else names
    for name in wanted:
        if name not in known:
            raise InvalidInput(f"{flag}: {name!r} is not one of {', '.join(known)}")
    return {name: known[name] for name in wanted}


def shape(text: str) -> tuple[str, tuple[int, ...]]:
    """An argparse type: ``input=1,3,224,224`` to ("input", (1, 3, 224, 224))."""
    name, equals, numbers = text.rpartition("=")
    try:
        dimensions = tuple(int(number) for number in numbers.split(",")) if numbers else ()
    except ValueError:
        dimensions = (0,)
    if not (equals and name) or any(size < 1 for size in dimensions):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a shape; write for example input=1,3,224,224"
        )
    return name, dimensions


def add_model_argument(parser: argparse.ArgumentParser) -> None:
    """MODEL and ``--shape``; read them with ``args.model`` and :func:`model_shapes`."""
    parser.add_argument(
        "model", metavar="MODEL", help="an .onnx file, or a model of the zoo: resnet50, zoo:vgg19"
    )
    parser.add_argument(
        "--shape",
        action="append",
        default=[],
        type=shape,
        metavar="INPUT=D,D,...",
        help="fix the shape of a model input that leaves it open; repeat for more inputs",
    )


def model_shapes(args: argparse.Namespace) -> dict[str, tuple[int, ...]] | None:
    """What ``--shape`` said, for :func:`dds.load_model`."""
    return dict(args.shape) or None


def add_device_flag(parser: argparse.ArgumentParser, flag: str, default: str, what: str) -> None:
    """A flag that names one of :data:`dds.costs.DEVICES`; its value is the Device."""
    parser.add_argument(
        flag,
        type=device,
        default=DEVICES[default],
        metavar="NAME",
        help=f"{what} (default {default}): {', '.join(DEVICES)}",
    )


def device(name: str) -> Device:
    """An argparse type: one of :data:`dds.costs.DEVICES`."""
    try:
        return find_device(name)
    except InvalidInput as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_link_flags(
    parser: argparse.ArgumentParser,
    *,
    uplink: str = "5.85",
    downlink: str = "20",
    rtt: str = "0.02",
) -> None:
    """``--uplink --downlink --rtt``, defaults as text; :func:`link_from` reads them."""
    for flag, default, direction in (
        ("--uplink", uplink, "device to server"),
        ("--downlink", downlink, "server to device"),
    ):
        parser.add_argument(
            flag,
            type=quantity(parse_bandwidth, infinite=True),
            default=default,
            metavar="RATE",
            help=f"bandwidth {direction}: a bare number is Mbit/s; 731kB/s, 1Gbit/s and inf "
            f"work too (default {default})",
        )
    parser.add_argument(
        "--rtt",
        type=quantity(parse_round_trip, positive=False),
        default=rtt,
        metavar="TIME",
        help=f"round trip: a bare number is seconds; 20ms works too (default {rtt})",
    )


def link_from(args: argparse.Namespace) -> Link:
    """The link that ``--uplink --downlink --rtt`` describe."""
    return Link(args.uplink, args.downlink, args.rtt)


def fraction(text: str) -> float:
    """An argparse type: ``25%`` or ``0.25``, a part in (0, 1]."""
    number, percent = text.strip().removesuffix("%"), text.strip().endswith("%")
    try:
        value = float(number) / (100.0 if percent else 1.0)
    except ValueError:
        value = math.nan
    if not 0.0 < value <= 1.0:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a part of one; write for example 25% or 0.25"
        )
    return value


def add_cache_flags(parser: argparse.ArgumentParser) -> None:
    """``--cache --no-cache``; :func:`cache_from` reads them."""
    more = parser.add_argument
    more("--cache", metavar="DIR", help="default: $XDG_CACHE_HOME/dds or ~/.cache/dds")
    more("--no-cache", action="store_true", help="measure even what is known, and keep nothing")


def cache_from(args: argparse.Namespace) -> Path | None:
    """The folder of measurements that these flags name; None for none."""
    from dds.profile.cache import cache_directory

    if args.no_cache:
        return None
    return Path(args.cache) if args.cache else cache_directory()


def add_platform_flags(parser: argparse.ArgumentParser) -> None:
    """``--threads --optimise --duty --frequency``; :func:`platform_from` reads them."""
    more = parser.add_argument
    more("--threads", type=int, default=1, metavar="N", help="of onnxruntime (default: 1)")
    more(
        "--optimise",
        choices=tuple(OPTIMISATIONS),
        default="all",
        help="how far onnxruntime may fuse operators (default: all)",
    )
    more(
        "--duty",
        type=fraction,
        default=1.0,
        metavar="PART",
        help="emulate a slower device: run only this part of the time, such as 25%%",
    )
    more(
        "--frequency",
        type=fraction,
        default=1.0,
        metavar="PART",
        help="emulate a slower device: count every second as 1/PART s",
    )


def platform_from(args: argparse.Namespace) -> Platform:
    """The platform that these flags describe."""
    from dds.profile.platform import Platform

    return Platform(Runtime(args.threads, args.optimise), args.duty, args.frequency)
