"""Tariffs in files: what is written is read back, and what is wrong is named."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings

from dds.errors import InvalidInput
from dds.market.tariff import Clearing, Linear
from dds.market.tariff_base import Tariff
from dds.market.tariff_json import tariff_from_json
from dds.testing import tariffs


@settings(deadline=None, derandomize=True, max_examples=60)
@given(tariffs())
def test_a_tariff_is_what_its_json_says(tariff: Tariff) -> None:
    text = json.dumps(tariff.to_json(), allow_nan=False)
    assert tariff_from_json(json.loads(text)) == tariff


def test_no_capacity_and_null_mean_no_limit() -> None:
    plain = {"kind": "linear", "base_price": 1, "slope": 2}
    assert tariff_from_json(plain) == tariff_from_json({**plain, "capacity": None})
    assert tariff_from_json(plain) == Linear(1.0, 2.0, math.inf)


@pytest.mark.parametrize(
    ("document", "place"),
    [
        (None, "tariff: need an object"),
        ([], "tariff: need an object"),
        ({}, "tariff.kind"),
        ({"kind": ["linear"]}, "tariff.kind"),
        ({"kind": "gift"}, "tariff.kind"),
        ({"kind": "clearing"}, "tariff.capacity: missing"),
        ({"kind": "clearing", "capacity": None}, "tariff.capacity: missing"),
        ({"kind": "clearing", "capacity": "2"}, "tariff.capacity: need a number"),
        ({"kind": "clearing", "capacity": True}, "tariff.capacity: need a number"),
        ({"kind": "clearing", "capacity": math.inf}, "tariff.capacity: need a finite"),
        ({"kind": "clearing", "capacity": 2, "price": 1}, "tariff.price: unknown"),
        ({"kind": "piecewise", "loads": 0, "prices": [1]}, "tariff.loads: need a list"),
        ({"kind": "piecewise", "loads": [], "prices": []}, "tariff.loads: need a list"),
        ({"kind": "piecewise", "loads": [0], "prices": [[1]]}, r"tariff.prices\[0\]"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(document: Any, place: str) -> None:
    with pytest.raises(InvalidInput, match=place) as caught:
        tariff_from_json(document)
    assert "\n" not in str(caught.value)


def test_a_tariff_is_read_from_any_mapping() -> None:
    from types import MappingProxyType

    assert tariff_from_json(MappingProxyType({"kind": "clearing", "capacity": 2})) == Clearing(2.0)
