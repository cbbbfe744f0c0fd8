"""Hypothesis strategies and assertions for your own tests (needs hypothesis, extra ``test``).

- ``graphs``, ``assertions_cut``      models, operator times, links; what holds of cuts
- ``markets``, ``assertions_market``  clients, tariffs, markets; what holds of equilibria
- ``enumeration``  every pure Nash equilibrium of a small game, whatever its prices
- ``messages``     messages of the protocol, any that is well formed
- ``fake_link``    a server and its clients in memory, on a link that loses and reorders; needs
  no Hypothesis, and is imported by its own name

Imported by their own names as well:

- ``tiers``        links, offers and plans over three tiers
- ``corrections``  what a client may have learned of its predictions
- ``engines``      what every engine must do; needs no Hypothesis
- ``models``       small ONNX models, written as text
- ``slices``       small ONNX models that can be sliced, drawn; schedules of any model

What stands in ``__all__`` is imported from here; the strategies of ``messages`` and the parts
of ``fake_link``, which few tests need, from their modules.
"""

from __future__ import annotations

from dds.testing.assertions_cut import assert_cut, assert_frontier, least_latency
from dds.testing.assertions_market import assert_equilibrium, cheapest
from dds.testing.enumeration import costs_in_quanta, posted, pure_equilibria
from dds.testing.graphs import chains, closed_sets, graphs, links, operator_times
from dds.testing.markets import clients, frontiers, markets, small_markets, tariffs

__all__ = [
    "assert_cut",
    "assert_equilibrium",
    "assert_frontier",
    "chains",
    "cheapest",
    "clients",
    "closed_sets",
    "costs_in_quanta",
    "frontiers",
    "graphs",
    "least_latency",
    "links",
    "markets",
    "operator_times",
    "posted",
    "pure_equilibria",
    "small_markets",
    "tariffs",
]
