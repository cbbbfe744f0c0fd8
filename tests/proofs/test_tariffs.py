from fractions import Fraction
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proofs.document import Malformed
from proofs.tariffs import Tariff, read_tariff, snapped

loads = st.fractions(0, 4, max_denominator=64)


def tariffs(games: ModuleType) -> list[tuple[Any, Tariff]]:
    return [(plain, read_tariff({"tariff": plain}, None)) for plain in games.TARIFFS]


@settings(deadline=None)
@given(loads)
def test_prices_are_the_definition(games: ModuleType, load: Fraction) -> None:
    for plain, tariff in tariffs(games):
        expected = games.price(plain, load)
        assert tariff.admits(load) == (expected is not None)
        if expected is not None:
            assert tariff.price(load) == expected


@settings(deadline=None)
@given(loads, loads)
def test_every_slope_is_a_subgradient(games: ModuleType, at: Fraction, load: Fraction) -> None:
    for _, tariff in tariffs(games):
        if tariff.admits(at) and tariff.admits(load):
            left, right = tariff.slopes(at)
            assert 0 <= left <= right
            for slope in (left, right):
                assert tariff.price(load) >= tariff.price(at) + slope * (load - at)


def test_a_kink_has_two_slopes_and_catches_what_is_near() -> None:
    plain = {"kind": "piecewise", "loads": [0, 1, 2], "prices": [0, 1, 3], "capacity": None}
    tariff = read_tariff({"tariff": plain}, None)
    assert tariff.slopes(Fraction(1)) == (1, 2)
    assert tariff.slopes(Fraction(0)) == (1, 1)
    assert tariff.slopes(Fraction(2)) == (2, 2)
    assert tariff.price(Fraction(5)) == 9
    assert tariff.kink_near(1 + Fraction(1, 10**10)) == 1
    assert tariff.kink_near(1 - Fraction(1, 10**10)) == 1
    far = 1 + Fraction(1, 10**8)
    assert tariff.kink_near(far) == far


def test_with_a_quantum_a_capacity_means_its_multiple() -> None:
    plain = {"kind": "barrier", "base_price": 1.0, "capacity": 0.3}
    assert read_tariff({"tariff": plain}, Fraction(1, 1000)).capacity == Fraction(3, 10)
    assert read_tariff({"tariff": plain}, None).capacity == Fraction(0.3)
    assert snapped(Fraction(0.30001), Fraction(1, 1000)) == Fraction(0.30001)


def test_room_beside_the_others_is_whole_quanta_and_no_pole() -> None:
    third, others = Fraction(1, 3), Fraction(2, 3)
    hard = read_tariff({"tariff": {"kind": "clearing", "capacity": 1.0}}, third)
    pole = read_tariff({"tariff": {"kind": "barrier", "base_price": 1.0, "capacity": 1.0}}, third)
    assert hard.room(others, third) == third
    assert pole.room(others, third) == 0
    assert pole.room(others, None) == third
    assert hard.room(others, Fraction(1, 4)) == Fraction(1, 4)
    assert pole.room(Fraction(1, 2), Fraction(1, 5)) == Fraction(2, 5)
    assert (
        read_tariff({"tariff": {"kind": "flat", "price": 1, "capacity": None}}, None).room(
            others, None
        )
        is None
    )


def table(loads: list[Any], prices: list[Any]) -> dict[str, Any]:
    return {"kind": "piecewise", "loads": loads, "prices": prices, "capacity": None}


@pytest.mark.parametrize(
    ("plain", "reason"),
    [
        ({"kind": "auction"}, "tariff.kind is 'auction', not one of clearing, flat"),
        ({"kind": "clearing", "capacity": None}, "tariff.capacity is null"),
        ({"kind": "clearing", "capacity": 0}, "tariff.capacity is 0.0, not above 0"),
        ({"kind": "flat", "price": 1}, "tariff.capacity is missing"),
        ({"kind": "flat", "price": -1, "capacity": None}, "tariff.price is -1.0, below 0"),
        (
            {"kind": "linear", "base_price": 1, "slope": -1, "capacity": None},
            "tariff.slope is -1.0, below 0",
        ),
        (
            {"kind": "power", "base_price": 1, "scale": 1, "exponent": 0.5, "capacity": None},
            "tariff.exponent is 0.5, not one of 1..16",
        ),
        (
            {"kind": "power", "base_price": 1, "scale": 1, "exponent": 17, "capacity": None},
            "tariff.exponent is 17.0, not one of 1..16",
        ),
        ({"kind": "barrier", "base_price": 1, "capacity": None}, "tariff.capacity is null"),
        (table([0, 1], [1]), "2 loads but 1 prices"),
        (table([1], [1]), r"tariff.loads\[0\] is 1.0, not 0"),
        (table([0, 1, 1], [1, 2, 3]), r"tariff.loads\[2\] 1.0 is not above"),
        (table([0, 1], [2, 1]), r"tariff.prices\[1\] 1.0 makes pi fall"),
        (table([0, 1, 2], [0, 2, 3]), r"tariff.prices\[2\] 3.0 makes pi fall or bend down"),
        (table([], []), "tariff.loads is a list of 0"),
    ],
)
def test_what_no_theorem_covers_is_refused(plain: Any, reason: str) -> None:
    with pytest.raises(Malformed, match=reason):
        read_tariff({"tariff": plain}, None)
