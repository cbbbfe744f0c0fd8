"""Equilibria of drawn markets, against their definition and against the independent checker."""

from __future__ import annotations

from hypothesis import given, settings

from dds.market.document import Instance, solve
from dds.testing import assert_equilibrium, markets
from proofs.check import check
from proofs.document import parse

quick = settings(deadline=None, max_examples=150)


@quick
@given(markets())
def test_nobody_gains_by_moving_alone(market: Instance) -> None:
    found = solve(market)
    assert_equilibrium(market.clients, market.tariff, found, market.quantum)


@quick
@given(markets())
def test_the_independent_checker_accepts_the_certificate(market: Instance) -> None:
    found = solve(market)
    verdict = check(parse(found.certificate.to_json().encode()))
    assert verdict.verified, verdict.summary()
