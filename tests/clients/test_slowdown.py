import pytest

from clients.slowdown import Slowdown
from dds.errors import InvalidInput


def test_a_device_may_become_slower_and_faster_again() -> None:
    device = Slowdown.parse("6,12@20,3@30")
    assert device == Slowdown(6.0, ((20, 12.0), (30, 3.0)))
    assert [device.at(index) for index in (0, 18, 19, 28, 29, 1000)] == [6, 6, 12, 12, 3, 3]


def test_most_devices_stay_as_they_are() -> None:
    assert Slowdown.parse("2.5") == Slowdown(2.5)
    assert Slowdown(2.5).at(10**6) == 2.5


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("0", "finite number > 0"),
        ("-1", "number"),
        ("inf", "number"),
        ("6,0@20", "finite number > 0"),
        ("6,12", "SLOWDOWN@INFERENCE"),
        ("6,12@soon", "SLOWDOWN@INFERENCE"),
        (f"6,12@{'9' * 5000}", "SLOWDOWN@INFERENCE"),
        ("6,12@1", "ascending"),
        ("6,12@20,24@20", "ascending"),
        ("fast", "number"),
    ],
)
def test_what_is_no_slowdown_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        Slowdown.parse(text)
