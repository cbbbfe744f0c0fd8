"""The public surface changes only on purpose."""

import inspect

import dds

EXPECTED = {
    "Barrier",
    "Clearing",
    "Client",
    "ClientTable",
    "CutHull",
    "DEVICES",
    "DdsError",
    "Device",
    "Efficiency",
    "Endowed",
    "Equilibrium",
    "Flat",
    "Frontier",
    "Infeasible",
    "InvalidInput",
    "Linear",
    "Link",
    "Market",
    "ModelGraph",
    "Offer",
    "ParallelFrontier",
    "PiecewiseLinear",
    "Pool",
    "PooledEquilibrium",
    "Power",
    "Recommendation",
    "Schedule",
    "SocialOptimum",
    "TierFrontier",
    "TierHull",
    "TierLinks",
    "TierPlan",
    "Worker",
    "WorkerLinks",
    "competitive",
    "efficiency",
    "endowed",
    "frontier",
    "hull",
    "load_model",
    "nash",
    "parallel_frontier",
    "pooled",
    "recommend",
    "refine",
    "schedule",
    "social",
    "three_tier",
    "tier_frontier",
    "tier_hull",
}


def test_the_public_names_are_these() -> None:
    assert set(dds.__all__) == EXPECTED
    assert set(dir(dds)) >= EXPECTED


def test_every_public_name_is_documented() -> None:
    for name in EXPECTED - {"DEVICES"}:
        assert inspect.getdoc(getattr(dds, name)), name


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(dds, "no_such_name")
