"""What a program from a stranger must satisfy, and what helpers may say."""

import math
from dataclasses import replace

import pytest

from dds.errors import InvalidInput
from dds.parallel.program import Compute, Part, Program, Receive, Send, Step
from dds.parallel.tiles import WHOLE, Region
from dds.session.helping import (
    Assignment,
    Description,
    Played,
    Tenancy,
    check_assignment,
    check_key,
)

KEY = "k" * 24
X, Y = Part("x", WHOLE), Part("y", Region(2, 4, 12))
STEPS = (Receive(X, 0), Compute(b"m", {"x": X}, {"y": Y}), Send(Y, 2, Y))


def assignment(*steps: Step, peers: dict[int, str] | None = None) -> Assignment:
    return Assignment("lease", KEY, Program(1, (), steps, ()), peers or {2: "10.0.0.2:50061"})


def test_what_a_schedule_comes_to_is_accepted() -> None:
    check_assignment(assignment(*STEPS))
    check_assignment(assignment(Receive(Y, 2), Send(Part("y", Region(2, 5, 6)), 0, Y)))


@pytest.mark.parametrize(
    ("steps", "complaint"),
    [
        ([Send(Y, 3, Y)], r"steps\[0\]: no peer is worker 3"),
        ([Receive(X, 1)], "no peer is worker 1"),
        ([Receive(X, 0), Receive(X, 0)], r"steps\[1\]: .* second time"),
        ([Send(X, 0, Y)], "no part of"),
        ([Send(Part("y", WHOLE), 0, Y)], "no part of"),
        ([Send(Part("y", Region(2, 3, 6)), 0, Y)], "no part of"),
        ([Send(Part("y", Region(1, 5, 6)), 0, Y)], "no part of"),
    ],
)
def test_steps_that_no_schedule_makes_are_refused(steps: list[Step], complaint: str) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        check_assignment(assignment(*steps))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"worker": 0}, "worker is 0"),
        ({"worker": 64}, "worker is 64"),
        ({"inputs": (X,)}, "inputs and outputs"),
        ({"outputs": (Y,)}, "inputs and outputs"),
    ],
)
def test_programs_of_nobody_but_a_helper(change: dict[str, object], complaint: str) -> None:
    good = assignment(*STEPS)
    with pytest.raises(InvalidInput, match=complaint):
        check_assignment(replace(good, program=replace(good.program, **change)))


@pytest.mark.parametrize("peers", [{0: "a:1"}, {1: "a:1"}, {64: "a:1"}, {2: "a"}, {2: "a:99999"}])
def test_peers_are_other_helpers_at_addresses(peers: dict[int, str]) -> None:
    with pytest.raises(InvalidInput, match="peers"):
        check_assignment(assignment(peers=peers))


@pytest.mark.parametrize("key", ["", "short", "k" * 21, "k" * 129, "k" * 23 + "\n", "k" * 22 + "é"])
def test_keys_that_might_be_guessed_are_refused(key: str) -> None:
    with pytest.raises(InvalidInput, match="random"):
        check_key(key)


@pytest.mark.parametrize("number", [-1.0, math.nan, math.inf])
def test_times_out_of_range_are_refused(number: float) -> None:
    for make in (
        lambda: Description("h", "onnxruntime", "p", number),
        lambda: Tenancy("lease", number),
        lambda: Played((0.1, number)),
    ):
        with pytest.raises(InvalidInput):
            make()


@pytest.mark.parametrize("seconds", [0.0, 5e-324, 0.99])
def test_leases_that_would_have_to_be_renewed_all_the_time(seconds: float) -> None:
    with pytest.raises(InvalidInput, match=r"lease_time is .*; need at least 1.0 s"):
        Tenancy("lease", seconds)


@pytest.mark.parametrize("slowdown", [0.0, 5e-324, 1e-7, 2e6, 1.7e308])
def test_no_device_is_so_fast_or_slow(slowdown: float) -> None:
    """With such seconds nothing could be scheduled, and a lie would end the client."""
    with pytest.raises(InvalidInput, match=r"^helper.slowdown is .*; need 1e-6 to 1e6$"):
        Description("h", "onnxruntime", "p", slowdown)


def test_no_run_takes_so_long_that_its_steps_add_up_to_infinity() -> None:
    with pytest.raises(InvalidInput, match=r"played\.seconds has 1\.7e\+308"):
        Played((1.7e308, 1.7e308))
