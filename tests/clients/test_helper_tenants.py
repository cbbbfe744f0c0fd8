"""Leases at a helper: who is silent for too long is forgotten, who waits for a call is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.helper_tenants import Tenants
from dds.session.refusals import Busy, LeaseRefused

TIME = 10.0


def tenants(most: int = 3) -> Tenants:
    numbers = iter(range(1000))
    return Tenants(most, TIME, lambda: f"lease {next(numbers)}")


def test_as_many_as_there_is_room_for() -> None:
    some = tenants(2)
    first = some.join("a", 0.0)
    assert first.lease_time == TIME
    assert some.join("a", 0.0).lease != first.lease
    with pytest.raises(Busy, match="2 clients"):
        some.join("c", 0.0)
    some.leave(first.lease)
    some.leave("nobody")
    assert len(some) == 1
    some.join("c", 0.0)


def test_strangers_are_refused() -> None:
    some = tenants()
    for call in (some.heard, some.began):
        with pytest.raises(LeaseRefused, match="join first"):
            call("nobody", 0.0)
    some.ended("nobody", 0.0)  # whose lease ended while the call was under way


@given(st.lists(st.floats(0.0, 100.0), min_size=1, max_size=6), st.floats(0.0, 200.0))
def test_a_lease_ends_with_the_silence(times: list[float], now: float) -> None:
    some = tenants()
    lease = some.join("a", 0.0).lease
    for time in sorted(times):
        some.heard(lease, time)
    assert some.silent(now) == ((lease,) if now >= max(times) + TIME else ())


def test_nobody_is_silent_who_waits_for_an_answer() -> None:
    some = tenants()
    lease = some.join("a", 0.0).lease
    some.began(lease, 1.0)
    some.began(lease, 2.0)
    some.ended(lease, 30.0)
    assert some.silent(1e6) == ()
    some.ended(lease, 40.0)
    assert some.silent(49.9) == ()
    assert some.silent(50.0) == (lease,)
    some.check(lease)
