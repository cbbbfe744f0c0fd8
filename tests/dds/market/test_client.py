"""What a client may be; what it may not is named."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError

import pytest

from dds.cut.pieces import Frontier
from dds.errors import InvalidInput
from dds.market.client import Client

FRONTIER = Frontier.from_points([(0.1, 0.5), (1.0, 0.0)])


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"value_of_time": 0.0}, "value_of_time"),
        ({"value_of_time": -1.0}, "value_of_time"),
        ({"value_of_time": math.inf}, "value_of_time"),
        ({"value_of_time": math.nan}, "value_of_time"),
        ({"min_share": -0.5}, "min_share"),
        ({"min_share": math.inf}, "min_share"),
        ({"min_share": math.nan}, "min_share"),
        ({"max_share": 0.0}, "max_share"),
        ({"max_share": math.nan}, "max_share"),
        ({"min_share": 2.0, "max_share": 1.0}, "max_share 1.0 is below min_share 2.0"),
        ({"rate": 0.0}, "rate"),
        ({"rate": math.inf}, "rate"),
    ],
)
def test_a_number_out_of_range_is_named(fields: dict[str, float], name: str) -> None:
    with pytest.raises(InvalidInput, match=name) as caught:
        Client(FRONTIER, **{"value_of_time": 1.0, **fields})
    assert "\n" not in str(caught.value)


def test_a_client_is_a_value() -> None:
    one, two = Client(FRONTIER, 1.0, name="a"), Client(FRONTIER, 1.0, name="a")
    assert one == two
    assert hash(one) == hash(two)
    assert (one.min_share, one.max_share, one.rate) == (0.0, math.inf, 1.0)
    with pytest.raises(FrozenInstanceError):
        one.value_of_time = 2.0  # type: ignore[misc]


def test_a_client_has_a_frontier() -> None:
    with pytest.raises(InvalidInput, match=r"^frontier is list; need a dds\.Frontier"):
        Client([(0.1, 1.0)], 1.0)  # type: ignore[arg-type]
