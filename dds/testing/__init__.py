"""Hypothesis strategies and assertions for your own tests (needs hypothesis, extra ``test``).

``graphs`` draws models, operator times and links; ``assertions_cut`` says what
must hold of cuts and frontiers; ``markets`` and ``assertions_market`` do the same
for clients, tariffs and equilibria.
"""

from __future__ import annotations

from dds.testing.assertions_cut import assert_cut, assert_frontier, least_latency
from dds.testing.assertions_market import assert_equilibrium, cheapest
from dds.testing.graphs import chains, closed_sets, graphs, links, operator_times
from dds.testing.markets import clients, frontiers, markets, tariffs

__all__ = [
    "assert_cut",
    "assert_equilibrium",
    "assert_frontier",
    "chains",
    "cheapest",
    "clients",
    "closed_sets",
    "frontiers",
    "graphs",
    "least_latency",
    "links",
    "markets",
    "operator_times",
    "tariffs",
]
