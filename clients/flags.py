"""The flags of ``mec-client``, and the agent that they describe."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from dds.cli.arguments import shape
from dds.errors import InvalidInput
from dds.profile.runtime import OPTIMISATIONS, Runtime
from dds.units import parse_bandwidth, parse_number, parse_round_trip, parse_seconds

if TYPE_CHECKING:
    from clients.config import AgentConfig, CloudConfig
    from clients.team_config import TeamConfig
    from dds.costs.trace import LinkTrace

__all__ = ["build_parser", "read_config", "read_flag"]

T = TypeVar("T")

_EPILOG = """\
units: bandwidths in Mbit/s or with a unit (731kB/s); times in s or with a unit (20ms); shares in
cores; the value of time in credits/s per second of latency.

example: a camera 6 times slower than this machine, behind a 4G link
  mec-client --server 127.0.0.1:50051 --name cam-1 --model zoo:resnet50 --device-slowdown 6 \\
    --uplink 5.85 --downlink 20 --rtt 30ms --value-of-time 1 --strategy dds,local-only

example: the same with a cloud behind the server, over a link that changes (docs/tiers.md)
  mec-client --server 127.0.0.1:50051 --name cam-1 --model zoo:resnet50 --device-slowdown 6 \\
    --trace 4g.csv --rtt 30ms --tiers --cloud-share 2 --edge-cloud-rtt 20ms --inferences 200
"""


def build_parser() -> argparse.ArgumentParser:
    """The parser of ``mec-client``."""
    parser = argparse.ArgumentParser(
        prog="mec-client",
        description="Run a DNN across this device and a MEC server, at a share bought there.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--server", metavar="HOST:PORT",
        help="where mec-server listens; only --strategy local-only does without")  # fmt: skip
    add("--connect", default="10", metavar="TIME",
        help="how long a server may take to be reachable at first (default: 10)")  # fmt: skip
    add("--name", default="client", help="unique among the clients of the market")
    add("--model", required=True, metavar="MODEL", help="zoo:NAME, or the path of an .onnx file")
    add("--shape", action="append", default=[], type=shape, metavar="INPUT=D,D,...",
        help="the shape of a model input that leaves it open; repeat for more")  # fmt: skip
    add("--device-slowdown", default="1", metavar="S",
        help="seconds the device takes per second of CPU time here (default: 1); 6,12@20 is a "
        "device that takes 12 from the 20th inference on")  # fmt: skip
    add("--optimise", choices=tuple(OPTIMISATIONS), default="all",
        help="how far onnxruntime may fuse operators; with none on both sides, a split model "
        "equals the whole bit for bit (default: all, up to 1.8 times faster)")  # fmt: skip
    add("--uplink", metavar="RATE", help="bandwidth to the server; needed without --trace")
    add("--downlink", metavar="RATE", help="bandwidth from the server; needed without --trace")
    add("--trace", metavar="FILE.csv",
        help="bandwidths that change from the first inference on, in Mbit/s: columns time_s,mbps "
        "or time_s,uplink_mbps,downlink_mbps; begins again after its end")  # fmt: skip
    add("--rtt", default="0", metavar="TIME", help="round trip of the link (default: 0)")
    add("--value-of-time", default="1", metavar="W", help="default: 1")
    add("--min-share", default="0", metavar="CORES", help="least to buy when offloading")
    add("--max-share", metavar="CORES", help="most that one inference can use (default: any)")
    add("--inferences", type=int, default=3, metavar="N", help="per strategy (default: 3)")
    add("--strategy", default="dds", metavar="NAME,...",
        help="of dds, local-only, edge-only, and cloud-only with --tiers, in order; "
        "default: dds")  # fmt: skip
    add("--one-game", action="store_true",
        help="learn from what inferences take, but never ask for another game")  # fmt: skip
    add("--seed", type=int, default=0, help="of zoo weights and inputs (default: 0)")
    add("--json", action="store_true", help="one JSON event per line on standard output")
    add("--step", action="store_true",
        help="wait for a line on standard input before joining again, inferring and leaving, so "
        "that several clients can do so together")  # fmt: skip
    add("--cache", metavar="DIR", help="of profiles (default: $XDG_CACHE_HOME/dds, ~/.cache/dds)")
    add("--no-cache", action="store_true", help="measure the model again")
    add("--measure-cuts", default="2", metavar="TIME",
        help="spend so long on measuring the best few cuts directly, where the server's core is "
        "of this platform; 0: never (default: 2)")  # fmt: skip
    add("--measure-there", default="60", metavar="TIME",
        help="have a server of another platform measure the whole model, if bringing it there "
        "takes no longer; 0: never (default: 60)")  # fmt: skip
    _add_tiers(parser)
    _add_helpers(parser)
    return parser


def _add_tiers(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("a cloud behind the server (strategies dds and cloud-only)")
    add = group.add_argument
    add("--tiers", action="store_true",
        help="let operators run in the cloud, too; the server needs an --upstream")  # fmt: skip
    add("--cloud-share", metavar="CORES", help="to rent in the cloud (default: 1)")
    add("--edge-cloud-uplink", metavar="RATE", help="from the server (default: 50)")
    add("--edge-cloud-downlink", metavar="RATE", help="to the server (default: 50)")
    add("--edge-cloud-rtt", metavar="TIME", help="of that hop (default: 20ms)")
    add("--cloud", metavar="HOST:PORT",
        help="where the cloud is reached without the server, at the bandwidth of the device's own "
        "link; the same mec-server as the server's --upstream (default: nowhere)")  # fmt: skip
    add("--cloud-rtt", metavar="TIME", help="on that way (default: of both hops together)")


def _add_helpers(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("helpers: other devices that run parts of the device's part")
    add = group.add_argument
    add("--helper", action="store_true",
        help="be a helper of other clients; see mec-client --helper --help")  # fmt: skip
    add("--helpers", metavar="HOST:PORT,...", help="where they listen (default: none)")
    add("--helper-bandwidth", metavar="RATE",
        help="of everybody's link, to plan with (default: measured)")  # fmt: skip
    add("--helper-rtt", metavar="TIME", help="between any two, to plan with (default: measured)")
    add("--helper-wifi", action="store_const", const=True,
        help="all links share one medium: one transfer at a time")  # fmt: skip
    add("--measure-plans", metavar="TIME",
        help="spend so long on trying a few plans of the whole model, and take the fastest; 0: "
        "trust the schedule (default: 2)")  # fmt: skip
    add("--check-every", type=int, metavar="N",
        help="after so many inferences see again whether helpers answer rightly; 0: never "
        "(default: 100)")  # fmt: skip


def read_config(args: argparse.Namespace) -> AgentConfig:
    """The agent that the flags describe; raises InvalidInput naming a wrong one."""
    from clients.config import AgentConfig, check_strategies
    from clients.slowdown import Slowdown
    from dds.costs import Link
    from dds.profile.cache import cache_directory

    def read(flag: str, parse: Callable[[str], T]) -> T:
        return read_flag(args, flag, parse)

    folder = Path(args.cache) if args.cache else cache_directory()
    rtt = read("--rtt", parse_round_trip)
    strategies = tuple(args.strategy.split(","))
    check_strategies(strategies)  # a misspelt one would be asked for a server
    if args.server is None and strategies != ("local-only",):
        raise InvalidInput("--server: needed by every strategy but local-only")
    trace = _read_trace(args, rtt)
    if trace:
        link = trace.at(0.0)
    elif args.uplink is None:  # nobody is at its other end
        link = Link(float("inf"), float("inf"), rtt)
    else:
        link = Link(read("--uplink", parse_bandwidth), read("--downlink", parse_bandwidth), rtt)
    return AgentConfig(
        name=args.name,
        model=args.model,
        shapes=dict(args.shape),
        slowdown=read("--device-slowdown", Slowdown.parse),
        link=link,
        value_of_time=read("--value-of-time", parse_number),
        min_share=read("--min-share", parse_number),
        max_share=read("--max-share", parse_number) if args.max_share else float("inf"),
        inferences=args.inferences,
        strategies=strategies,
        one_game=args.one_game,
        runtime=Runtime(optimisation=args.optimise),
        seed=args.seed,
        connect=read("--connect", parse_seconds),
        measure_cuts=read("--measure-cuts", parse_seconds),
        measure_there=read("--measure-there", parse_seconds),
        cache=None if args.no_cache else folder,
        trace=trace,
        cloud=_read_cloud(args, rtt),
        helpers=_read_helpers(args),
    )


def _read_helpers(args: argparse.Namespace) -> TeamConfig | None:
    """The helpers that the flags name; None without."""
    from clients.team_config import TeamConfig

    if args.helpers is None:
        for flag in (
            *("--helper-bandwidth", "--helper-rtt", "--helper-wifi", "--measure-plans"),
            "--check-every",
        ):
            if getattr(args, _name(flag)) is not None:
                raise InvalidInput(f"{flag}: only with --helpers")
        return None
    return TeamConfig(
        tuple(args.helpers.split(",")),
        read_flag(args, "--helper-bandwidth", parse_bandwidth) if args.helper_bandwidth else None,
        read_flag(args, "--helper-rtt", parse_round_trip) if args.helper_rtt else None,
        args.helper_wifi is not None,
        read_flag(args, "--measure-plans", parse_seconds, "2"),
        100 if args.check_every is None else args.check_every,
    )


def _read_trace(args: argparse.Namespace, rtt: float) -> LinkTrace | None:
    """What --trace says; either it or both bandwidths are needed."""
    from dds.costs.trace import read_trace

    given = [flag for flag in ("uplink", "downlink") if getattr(args, flag) is not None]
    if args.trace is None:
        if len(given) < 2 and (given or args.server is not None):
            raise InvalidInput("--uplink and --downlink: give both bandwidths, or a --trace")
        return None
    if given:
        raise InvalidInput(f"--{given[0]}: --trace says that already; leave one of them out")
    try:
        text = Path(args.trace).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"--trace: cannot read {args.trace!r}: {_reason(error)}") from error
    return read_trace(text, args.trace, rtt=rtt)


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror or "failed") if isinstance(error, OSError) else "it is not UTF-8 text"


#: Flags that only mean something with --tiers, and what they are without being given.
_CLOUD_FLAGS = {
    "--cloud-share": "1",
    "--edge-cloud-uplink": "50",
    "--edge-cloud-downlink": "50",
    "--edge-cloud-rtt": "20ms",
    "--cloud": None,
    "--cloud-rtt": None,
}


def _read_cloud(args: argparse.Namespace, rtt: float) -> CloudConfig | None:
    """The cloud that the flags describe; None without --tiers."""
    from clients.config import IN_CLOUD, CloudConfig
    from dds.costs import Link

    given = [flag for flag in _CLOUD_FLAGS if getattr(args, _name(flag)) is not None]
    if not args.tiers:
        if given:
            raise InvalidInput(f"{given[0]}: only with --tiers")
        return None
    if args.cloud_rtt is not None and args.cloud is None:
        raise InvalidInput("--cloud-rtt: only with --cloud HOST:PORT")
    if not set(IN_CLOUD) & set(args.strategy.split(",")):
        raise InvalidInput(
            f"--tiers: only {' and '.join(IN_CLOUD)} use the cloud; add one of them to --strategy"
        )

    def read(flag: str, parse: Callable[[str], float]) -> float:
        return read_flag(args, flag, parse, _CLOUD_FLAGS[flag])

    link = Link(
        read("--edge-cloud-uplink", parse_bandwidth),
        read("--edge-cloud-downlink", parse_bandwidth),
        read("--edge-cloud-rtt", parse_round_trip),
    )
    direct = rtt + link.rtt if args.cloud else None
    if args.cloud_rtt is not None:
        direct = read("--cloud-rtt", parse_round_trip)
    return CloudConfig(link, read("--cloud-share", parse_number), direct)


def read_flag(
    args: argparse.Namespace, flag: str, parse: Callable[[str], T], default: str | None = None
) -> T:
    """A flag's value; InvalidInput names the flag."""
    given = getattr(args, _name(flag))
    try:
        return parse(default if given is None and default else given)
    except InvalidInput as error:
        raise InvalidInput(f"{flag}: {error}") from error


def _name(flag: str) -> str:
    return flag.removeprefix("--").replace("-", "_")
