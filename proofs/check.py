"""The command ``python -m proofs.check FILE.json [--json]``.

Exit codes: 0 verified; 1 refused, with reasons; 2 the file cannot be read or is
not JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from proofs import equilibrium, pooled, run
from proofs.document import MAX_BYTES, NotJson, Reasons, parse, show
from proofs.equilibrium import TOLERANCE, Checked

__all__ = ["Verdict", "check", "execute", "main"]


@dataclass(frozen=True)
class Verdict:
    """Whether a document is verified; the first reasons why not, and how many there are."""

    verified: bool
    reasons: tuple[str, ...]
    reason_count: int
    checked: Checked | pooled.Checked | None

    def summary(self) -> str:
        """One line for people if verified, one per reason if not."""
        if isinstance(self.checked, pooled.Checked) and self.verified:
            return self.checked.summary()
        if isinstance(self.checked, Checked) and self.verified:
            done, stated = self.checked, self.checked.stated
            capacity = stated.tariff.capacity
            total = show(done.demand) + (f"/{show(capacity)}" if capacity is not None else "")
            return (
                f"certificate verified: {len(stated.rows)} clients, largest regret "
                f"{show(stated.max_regret)}, total demand {total} cores, price {show(stated.price)}"
            )
        lines = [f"certificate refused: {self.reason_count} reason(s)"]
        lines += [f"  {reason}" for reason in self.reasons]
        hidden = self.reason_count - len(self.reasons)
        return "\n".join(lines + ([f"  and {hidden} more"] if hidden else []))

    def to_json(self) -> dict[str, Any]:
        """The verdict as plain data."""
        found: dict[str, Any] = {
            "verified": self.verified,
            "reasons": list(self.reasons),
            "reason_count": self.reason_count,
        }
        if isinstance(self.checked, pooled.Checked) and self.verified:
            found |= self.checked.to_json()
        elif isinstance(self.checked, Checked) and self.verified:
            done, stated = self.checked, self.checked.stated
            capacity = stated.tariff.capacity
            found |= {
                "concept": stated.concept,
                "clients": len(stated.rows),
                "price": float(stated.price),
                "total_demand": float(done.demand),
                "capacity": None if capacity is None else float(capacity),
                "max_regret": float(stated.max_regret),
                "max_relative_regret": float(done.largest_part),
            }
        return found


def check(document: Any, tolerance: Fraction = TOLERANCE) -> Verdict:
    """The verdict on a parsed document of either format; never raises on bad content."""
    reasons = Reasons()
    known = {equilibrium.FORMAT: equilibrium.check_equilibrium, run.FORMAT: run.check_run}
    kind = document.get("format") if isinstance(document, dict) else None
    checked: Checked | pooled.Checked | None = None
    if kind == pooled.FORMAT:
        checked = pooled.check_pooled(document, reasons)
    elif isinstance(kind, str) and kind in known:
        checked = known[kind](document, reasons, tolerance)
    else:
        formats = ", ".join((*known, pooled.FORMAT))
        reasons.add(f"format is {show(kind)}, not one of {formats}")
    return Verdict(not reasons.count, tuple(reasons.shown), reasons.count, checked)


def execute(path: str, as_json: bool, command: str) -> int:
    """Read, check and print as ``command``; returns the exit code."""
    try:
        with open(path, "rb") as file:
            document = parse(file.read(MAX_BYTES + 1))
    except OSError as error:
        print(f"{command}: cannot read {path!a}: {error.strerror}", file=sys.stderr)
        return 2
    except NotJson as error:
        print(f"{command}: {path!a} is not JSON: {error}", file=sys.stderr)
        return 2
    verdict = check(document)
    if as_json:
        print(json.dumps(verdict.to_json(), indent=2))
    else:
        print(verdict.summary())
    return 0 if verdict.verified else 1


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="proofs.check",
        description="Check a saved equilibrium in exact arithmetic, trusting no solver.",
        epilog="Exit codes: 0 verified, 1 refused, 2 unreadable.",
    )
    parser.add_argument("file", metavar="FILE.json", help="a saved equilibrium or demo run")
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON")
    args = parser.parse_args(argv)
    try:
        code = execute(args.file, args.json, "proofs.check")
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader (head, less) has what it wanted; do not complain at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code


if __name__ == "__main__":
    sys.exit(main())
