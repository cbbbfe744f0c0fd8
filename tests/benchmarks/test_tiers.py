"""The benchmark of three tiers asks its peer for the same thing, and draws what it says."""

import math

import networkx
import numpy as np
import pytest
from models import zoo
from tiers import changes_row, doubled, drawn, exact_row, planning, seconds_of

from dds import Link, TierLinks, three_tier, tier_hull


@pytest.mark.parametrize("uplink", [1e5, 2e6, 5e7])
@pytest.mark.parametrize("name", ["zfnet512", "squeezenet"])
def test_their_cut_is_as_long_as_ours(name: str, uplink: float) -> None:
    graph = zoo(name)
    seconds = seconds_of(graph)
    links = TierLinks(Link(uplink, 3.0 * uplink), Link(5e6, 4e6))
    least = networkx.minimum_cut_value(doubled(graph, seconds, links), "source", "sink")
    plan = three_tier(graph, *seconds, links)
    assert math.isclose(plan.latency(1.0), least, rel_tol=1e-9)


def test_rows_say_how_far_apart_the_answers_are() -> None:
    exact = exact_row("zfnet512", 2e6, 2)
    assert exact["relative_difference"] < 1e-9
    assert set(exact["ratios"]) == set(exact["seconds"]) - {"networkx"}
    changes = changes_row("zfnet512", 40, 2, 1)
    assert (changes["changes"], changes["checked"]) == (40, 2)
    assert changes["worst_relative_difference"] < 1e-9


def test_changes_are_of_links_with_and_without_a_direct_path_and_each_is_timed() -> None:
    rng = np.random.default_rng(3)
    asked = [drawn(rng) for _ in range(50)]
    assert {links.device_cloud is None for links, _ in asked} == {True, False}
    graph = zoo("zfnet512")
    assert len(planning(tier_hull(graph, *seconds_of(graph)), asked)) == 50
