"""Units at the edge: text such as ``5.85 Mbit/s``, ``20ms`` or ``4Mi`` to SI numbers.

Inside DDS everything is seconds, bytes, bytes/s and FLOP; only files, flags and
tables speak Mbit/s and milliseconds.
"""

from __future__ import annotations

import math
import re

from dds.errors import InvalidInput

__all__ = [
    "format_bytes",
    "format_seconds",
    "parse_address",
    "parse_bandwidth",
    "parse_bytes",
    "parse_number",
    "parse_round_trip",
    "parse_seconds",
]

_SI = {"": 1.0, "n": 1e-9, "u": 1e-6, "µ": 1e-6, "m": 1e-3, "k": 1e3, "K": 1e3, "M": 1e6,
       "G": 1e9, "T": 1e12}  # fmt: skip
_BINARY = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}
_QUANTITY = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([^\d\s].*?)?\s*")
_LONGEST_BARE_ROUND_TRIP = 10.0
#: A name, an IPv4 address, or an IPv6 address in brackets; nothing else that gRPC would follow,
#: such as unix:/path or vsock:2.
_HOST = re.compile(r"[^\s/:\[\]]+|\[[0-9A-Fa-f:.%a-z]+\]")


def _split(text: str, what: str, example: str) -> tuple[float, str]:
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise InvalidInput(f"{text!r} is not {what}; write for example {example}")
    value = float(match[1])
    if not math.isfinite(value):
        raise InvalidInput(f"{text!r} is too large; write for example {example}")
    return value, match[2] or ""


def parse_number(text: str) -> float:
    """A plain number with an optional SI or binary suffix: ``2.5k`` is 2500, ``4Mi`` 4194304."""
    value, suffix = _split(text, "a number", "0.5, 2.5k or 4Mi")
    scale = {**_SI, **_BINARY}.get(suffix)
    if scale is None:
        raise InvalidInput(f"{text!r}: unknown suffix {suffix!r}; use n u m k M G T Ki Mi Gi Ti")
    return value * scale


def parse_bytes(text: str) -> float:
    """A size in bytes: ``602112``, ``25MB``, ``4MiB``."""
    value, suffix = _split(text, "a size", "602112, 25MB or 4MiB")
    scale = {**_SI, **_BINARY}.get(suffix.removesuffix("B"))
    if scale is None:
        raise InvalidInput(f"{text!r}: unknown unit {suffix!r}; use B, kB, MB, GB, KiB, MiB, GiB")
    return value * scale


def parse_bandwidth(text: str) -> float:
    """A bandwidth in bytes/s.  A bare number is Mbit/s, as the field writes it.

    ``5.85``, ``5.85 Mbit/s``, ``5.85Mbps``, ``1Gbit/s`` and ``731kB/s`` are understood.
    """
    value, unit = _split(text, "a bandwidth", "5.85, 5.85Mbit/s, 1Gbit/s or 731kB/s")
    if not unit:
        return value * 1e6 / 8.0
    for ending, bytes_each in (("bit/s", 0.125), ("bps", 0.125), ("b/s", 0.125), ("B/s", 1.0)):
        if unit.endswith(ending):
            scale = _SI.get(unit.removesuffix(ending))
            if scale is not None:
                return value * scale * bytes_each
    raise InvalidInput(f"{text!r}: unknown unit {unit!r}; use kbit/s, Mbit/s, Gbit/s, kB/s or MB/s")


def parse_seconds(text: str) -> float:
    """A time in seconds: ``0.02``, ``20ms``, ``150us``, ``1.5s``."""
    value, unit = _split(text, "a time", "0.02, 20ms or 150us")
    scale = {"": 1.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9, "min": 60.0}.get(
        unit
    )
    if scale is None:
        raise InvalidInput(f"{text!r}: unknown unit {unit!r}; use s, ms, us or min")
    return value * scale


def parse_round_trip(text: str) -> float:
    """A round trip in seconds, as :func:`parse_seconds`; `20`, for 20 ms, is taken for a slip.

    A bare number is in seconds, and no link takes ten: then a unit has to be given.
    """
    seconds = parse_seconds(text)
    if seconds >= _LONGEST_BARE_ROUND_TRIP and not _split(text, "a time", "20ms")[1]:
        raise InvalidInput(f"{text!r}: in s or in ms? write for example {text.strip()}ms")
    return seconds


def format_seconds(seconds: float) -> str:
    """Seconds for a table, three significant digits: ``1.23 s``, ``45.6 ms``, ``7.89 µs``."""
    if not math.isfinite(seconds):
        return "-"
    for scale, unit in ((1.0, "s"), (1e-3, "ms")):
        if abs(seconds) >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return "0 s" if seconds == 0.0 else f"{seconds / 1e-6:.3g} µs"


def format_bytes(count: float) -> str:
    """Bytes for a table, decimal units: ``602 kB``, ``12.8 MB``."""
    for scale, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if abs(count) >= scale:
            return f"{count / scale:.3g} {unit}"
    return f"{count:.0f} B"


def parse_address(text: str) -> tuple[str, int]:
    """Host and port of ``HOST:PORT``; port 0 stands for any free one.

    Raises InvalidInput for anything else.

    >>> parse_address("edge.example:50051")
    ('edge.example', 50051)
    """
    host, _, port = text.rpartition(":")
    # More digits than int() reads are no port either.
    fits = port.isascii() and port.isdecimal() and len(port) <= 5 and int(port) < 2**16
    if not (fits and len(host) <= 253 and _HOST.fullmatch(host) and host.isprintable()):
        raise InvalidInput(f"{text[:80]!r}; need HOST:PORT such as 127.0.0.1:50051")
    return host, int(port)
