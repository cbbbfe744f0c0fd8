"""What ``mec-client`` prints: events as JSON, or in words for people."""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from types import MappingProxyType
from typing import Any

from dds.units import format_bytes, format_seconds

__all__ = ["Report"]

Event = Mapping[str, Any]

#: So many latencies are listed.
_FEW = 5


class Report:
    """Prints events: as JSON, one per line, or for people.

    What people wait for, an event ``preparing``, is told them only on a terminal, on its standard
    error, in a line that goes when something else happens, or with :meth:`close`.
    """

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        watched = not as_json and sys.stderr is not None and sys.stderr.isatty()
        self._terminal = sys.stderr if watched else None

    def emit(self, event: Event) -> None:
        """Print one event; not every one is worth a person's while."""
        if self._as_json:
            print(json.dumps(event, allow_nan=False), flush=True)
            return
        self._wait_for(event["what"] if event["event"] == "preparing" else "")
        if text := _in_words(event):
            print(text, flush=True)

    def _wait_for(self, what: str) -> None:
        """Say it over what was said before; "" leaves nothing."""
        if self._terminal is not None:
            # Only one line can be taken back.
            line = f"{what} ..."[: shutil.get_terminal_size().columns - 1] if what else ""
            self._terminal.write(f"\r\033[K{line}")
            self._terminal.flush()

    def close(self) -> None:
        """Leave nothing of it on the terminal."""
        self._wait_for("")


def _in_words(event: Event) -> str:
    """An event for people; "" for one not worth their while."""
    words = _WORDS.get(event["event"])
    return words(event) if words else ""


def _loaded(event: Event) -> str:
    size = format_bytes(event["bytes"])
    return f"{event['model']}: {event['operators']} operators, {size}"


def _profiled(event: Event) -> str:
    return f"on the device alone: {format_seconds(event['local_latency_s'])}"


def _allocated(event: Event) -> str:
    return (
        f"{event['strategy']}: {event['share']:g} cores at {event['price']:.4g} credits/s "
        f"each, found in {event['rounds']} rounds, regret {event['regret']:.3g}\n"
        f"  {_cut_in_words(event['cut'])}; "
        f"predicted {format_seconds(event['predicted_latency_s'])}"
    )


def _cloud(event: Event) -> str:
    return f"cloud: {event['share']:g} cores at {event['price']:.4g} credits/s each"


def _recut(event: Event) -> str:
    return (
        f"  from inference {event['index'] + 1} on, as the {event['because']} has changed: "
        f"{_cut_in_words(event['after'])}"
    )


def _not_recut(event: Event) -> str:
    return f"  the cut stays as it is: {event['because']}"


def _inference(event: Event) -> str:
    took, before, after = (
        format_seconds(event[f"{which}latency_s"]) for which in ("", "uncorrected_", "corrected_")
    )
    told = f"predicted {before}" + (f", corrected {after}" if after != before else "")
    return f"{event['strategy']}: inference {event['index'] + 1} took {took} ({told})"


def _changed(event: Event) -> str:
    return (
        f"  the {event['segment']} now takes {event['after']:.2f} times what its costs "
        f"say ({event['before']:.2f} before)"
    )


def _reconsidered(event: Event) -> str:
    percent = round(100.0 * event["saving"])
    if percent <= 0 and not event["again"]:
        return ""  # it is asked for again and again
    saved = f"  new costs would save {percent} %"
    return f"{saved}: playing again" if event["again"] else f"{saved}: not worth a game"


def _helpers(event: Event) -> str:
    found = (f"{each['name']} at {each['address']} ({each['engine']})" for each in event["helpers"])
    return f"helpers: {', '.join(found) or 'none'}"


def _helper_lost(event: Event) -> str:
    return f"  going on without the helper at {event['address']}: {event['because']}"


def _doubtful(event: Event) -> str:
    count = event["inferences"]
    last = "the last inference" if count == 1 else f"the last {count} inferences"
    if event["wrong"]:
        return f"  the helpers' answers have turned wrong: {last} may be wrong"
    return f"  {last} went unchecked: a helper was lost before the next check"


def _planned(event: Event) -> str:
    """Who does what, and what it was better than."""
    workers = event["workers"]
    taking_part = [each for each in workers if each["tasks"]] or workers[:1]
    shares = (f"{each['name']} {format_seconds(each['busy_s'])}" for each in taking_part)
    took = format_seconds(event["predicted_latency_s"])
    told = f"  planned: {took}; of that computing: {', '.join(shares)}"
    best: dict[bool, float] = {}
    for trial in event["tried"]:
        if trial["measured_latency_s"] is not None:
            by_itself = trial["workers"] == [workers[0]["name"]]
            best[by_itself] = min(trial["measured_latency_s"], best.get(by_itself, math.inf))
    alone = taking_part == workers[:1]
    if (not alone) in best:
        rival = "with helpers" if alone else "on the device alone"
        told += f" ({format_seconds(best[not alone])} {rival})"
    if too_long := sum(trial["measured_latency_s"] is None for trial in event["tried"]):
        told += f"; not tried, as they take too long to bring: {too_long} more"
    return told


def _done(event: Event) -> str:
    return "\n".join(
        f"{strategy}: predicted {format_seconds(result['predicted_latency_s'])}, measured "
        f"{_several(result['measured_latency_s'])}; largest "
        f"difference from the whole model {result['max_abs_difference']:.3g}"
        for strategy, result in event["strategies"].items()
    )


_WORDS: Mapping[str, Callable[[Event], str]] = MappingProxyType(
    {
        "loaded": _loaded,
        "profiled": _profiled,
        "allocated": _allocated,
        "cloud": _cloud,
        "recut": _recut,
        "not recut": _not_recut,
        "inference": _inference,
        "changed": _changed,
        "reconsidered": _reconsidered,
        "helpers": _helpers,
        "helper lost": _helper_lost,
        "doubtful": _doubtful,
        "planned": _planned,
        "done": _done,
    }
)


def _several(seconds: Sequence[float]) -> str:
    """Each of a few; the median and the range of many."""
    if len(seconds) <= _FEW:
        return ", ".join(map(format_seconds, seconds))
    low, middle, high = map(format_seconds, (min(seconds), median(seconds), max(seconds)))
    return f"{middle} in the median of {len(seconds)} ({low} to {high})"


def _cut_in_words(cut: Mapping[str, Any]) -> str:
    up, down = (format_bytes(cut[f"{way}link_bytes"]) for way in ("up", "down"))
    if "operators_on_cloud" in cut:
        there = f"{cut['operators_on_edge']} on the edge, {cut['operators_on_cloud']} in the cloud"
        there += " directly" if cut["direct"] else ""
    else:
        there = f"{cut['operators_on_server']} on the server"
    return f"{cut['operators_on_device']} operators on the device, {there}, {up} up, {down} down"
