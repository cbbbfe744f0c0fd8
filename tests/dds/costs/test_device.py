import math

import pytest

from dds.costs import DEVICES, Device, find_device
from dds.errors import InvalidInput


def test_the_table_holds_the_documented_devices():
    assert list(DEVICES) == [
        "raspberry-pi-3b", "raspberry-pi-4", "raspberry-pi-5", "jetson-nano", "phone",
        "edge-core", "cloud-gpu",
    ]  # fmt: skip
    for name, device in DEVICES.items():
        assert find_device(name) is device
        assert device.name == name
        assert device.note
    with pytest.raises(TypeError):
        DEVICES["mine"] = DEVICES["phone"]


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(InvalidInput, match=r"'pi'; known: raspberry-pi-3b, .*cloud-gpu"):
        find_device("pi")


@pytest.mark.parametrize(
    ("field", "value"),
    [("flops_per_s", 0.0), ("flops_per_s", math.nan), ("bytes_per_s", -1.0),
     ("overhead", -1e-9), ("overhead", math.inf), ("overhead", math.nan)],
)  # fmt: skip
def test_a_rate_out_of_range_is_refused(field, value):
    figures = {"flops_per_s": 1.0, "bytes_per_s": 1.0, "overhead": 0.0, field: value}
    with pytest.raises(InvalidInput, match=f"'mine': {field}"):
        Device("mine", **figures)
