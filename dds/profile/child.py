"""Measuring in a process of its own, which is stopped and continued to be a slower device.

:func:`measure_throttled` starts ``python -m dds.profile.child`` in a temporary folder that holds
the model and the request, throttles it, and reads the profile it leaves there.  Progress comes as
lines of its standard output.  However this ends, no process is left behind: the child is killed,
which a stopped process does not outlive, and the kernel kills it if this process is killed first.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from dds.errors import InternalError, InvalidInput
from dds.model.graph import ModelGraph
from dds.profile.measure import Report, measure_here
from dds.profile.platform import Platform, die_with_parent, throttle
from dds.profile.profile import Profile
from dds.profile.runtime import Runtime

__all__ = ["measure_throttled"]


def measure_throttled(
    model: bytes,
    graph: ModelGraph,
    platform: Platform,
    repeats: int,
    budget: float,
    report: Report | None,
) -> Profile:
    """:func:`dds.profile.measure.measure` on a platform that may run only part of the time."""
    with tempfile.TemporaryDirectory(prefix="dds-device-") as name:
        folder = Path(name)
        (folder / "model.onnx").write_bytes(model)
        request = {
            "runtime": asdict(platform.runtime),
            "frequency": platform.frequency,
            "repeats": repeats,
            "budget": None if math.isinf(budget) else budget,
            "shapes": {graph.tensors[t].name: graph.tensors[t].shape for t in graph.inputs},
        }
        (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
        with _child(folder) as child:
            told = _told(child, report)
            # Kernels are profiled at full speed: those longer than a stretch of the duty cycle
            # would hold a pause in each run, the others in few, and shares would be wrong.
            half = next((True for done, total in told if 2 * done >= total), False)
            with throttle(child, platform.duty if half else 1.0):
                for _ in told:
                    pass
            child.wait()
        profile = _answer(folder, child.returncode)
    if platform.runtime.threads == 1:
        # It counted CPU seconds, which it gets for a part of the time.
        stretched = profile.scaled(1.0 / platform.duty)
    else:
        stretched = replace(profile, kernels=profile.kernels / platform.duty)
    return replace(stretched, platform=platform.fingerprint)


@contextlib.contextmanager
def _child(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The measuring process; none is left when the body is, in whatever way."""
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    child = subprocess.Popen(  # noqa: S603 - this interpreter, this module
        [sys.executable, "-m", "dds.profile.child", str(os.getpid())],
        cwd=folder,
        # What it puts into temporary folders goes with this one, also when it is killed.
        env={**os.environ, "PYTHONPATH": path, "TMPDIR": str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        # Ctrl-C must reach this process alone; it then ends the child, which would only complain.
        start_new_session=True,
    )
    try:
        yield child
    finally:
        child.kill()
        if child.stdout is not None:
            child.stdout.close()
        child.wait()


def _told(child: subprocess.Popen[bytes], report: Report | None) -> Iterator[tuple[int, int]]:
    """How many of how many runs are done, as the child tells it; `report` is told too."""
    for line in child.stdout or ():
        done, total = map(int, line.split())
        if report:
            report(done, total)
        yield done, total


def _answer(folder: Path, code: int) -> Profile:
    with contextlib.suppress(FileNotFoundError):
        raise InvalidInput((folder / "refusal.txt").read_text(encoding="utf-8"))
    try:
        return Profile.from_json((folder / "profile.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InternalError(f"the measuring process ended with code {code}") from error


def _main() -> None:
    """Measure what the folder asks for, and leave the profile there."""
    from dds.model import load_model

    die_with_parent(int(sys.argv[1]))
    request = json.loads(Path("request.json").read_text(encoding="utf-8"))
    model = Path("model.onnx").read_bytes()
    platform = Platform(Runtime.from_fields(request["runtime"]), frequency=request["frequency"])
    budget = math.inf if request["budget"] is None else request["budget"]
    try:
        profile = measure_here(
            model,
            load_model(model, shapes=request["shapes"]),
            platform,
            request["repeats"],
            budget,
            lambda done, total: print(done, total, flush=True),
        )
    except InvalidInput as error:
        Path("refusal.txt").write_text(str(error), encoding="utf-8")
    else:
        Path("profile.json").write_text(profile.to_json(), encoding="utf-8")


if __name__ == "__main__":
    _main()
