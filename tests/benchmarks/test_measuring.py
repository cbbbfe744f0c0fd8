import argparse
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from measuring import Spread, apart, count, interleaved, ratio, text_table, write_json


def test_quartiles_of_known_numbers() -> None:
    assert Spread.of([5.0, 1.0, 3.0, 2.0, 4.0]) == Spread(3.0, 2.0, 4.0)
    assert Spread.of([7.0]) == Spread(7.0, 7.0, 7.0)
    assert str(Spread(3.0, 2.0, 4.0)) == "3 [2, 4]"
    assert str(Spread(7.0, 7.0, 7.0)) == "7"


def test_ratios_are_taken_round_by_round() -> None:
    # Medians are 2 and 2; round by round ours takes half, the same, twice.
    assert ratio([1.0, 2.0, 4.0], [2.0, 2.0, 2.0]) == Spread(1.0, 0.75, 1.5)


def test_calls_take_turns_in_changing_order() -> None:
    order: list[str] = []
    seconds, results = interleaved(
        {"a": lambda: order.append("a") or 1, "b": lambda: order.append("b") or 2}, 3
    )
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert {name: len(values) for name, values in seconds.items()} == {"a": 3, "b": 3}
    assert results == {"a": 1, "b": 2}


def test_a_spent_budget_ends_the_rounds_but_not_before_the_second() -> None:
    seconds, _ = interleaved({"a": lambda: 1}, 9, budget=0.0)
    assert len(seconds["a"]) == 2


def test_a_call_apart_returns_fails_or_is_ended() -> None:
    assert apart(math.hypot, 3.0, 4.0, limit=60.0).result == 5.0
    assert apart(math.sqrt, -1.0, limit=60.0).failure.startswith("ValueError: ")
    assert apart(time.sleep, 60.0, limit=0.2).failure == "no answer within 0.2 s"


@pytest.mark.parametrize(("text", "number"), [("7", 7), ("200k", 200_000), ("1.5M", 1_500_000)])
def test_counts(text: str, number: int) -> None:
    assert count(text) == number


@pytest.mark.parametrize("text", ["", "0", "-3", "k", "1e6", "2G"])
def test_what_is_no_count(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="write for example"):
        count(text)


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert text_table(("N", "time"), [("1,000", "2")]) == "N      time\n1,000     2"


def test_json_has_objects_for_dataclasses_and_null_for_no_number(tmp_path: Path) -> None:
    @dataclass
    class Row:
        name: str
        regret: float

    write_json(tmp_path / "out.json", {"rows": [Row("a", math.nan), Row("b", math.inf)], 3: 0.5})
    assert json.loads((tmp_path / "out.json").read_text()) == {
        "rows": [{"name": "a", "regret": None}, {"name": "b", "regret": None}],
        "3": 0.5,
    }
