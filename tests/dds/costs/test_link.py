import math

import pytest

from dds.costs import Link
from dds.errors import InvalidInput


def test_transfer_time():
    assert Link(uplink=10.0, downlink=4.0, rtt=0.5).transfer_time(20, 8) == 4.5
    assert Link(math.inf, math.inf).transfer_time(10**9, 10**9) == 0.0


@pytest.mark.parametrize(
    ("field", "value"),
    [("uplink", 0.0), ("uplink", math.nan), ("downlink", -1.0), ("rtt", -1.0),
     ("rtt", math.inf), ("rtt", math.nan)],
)  # fmt: skip
def test_a_field_out_of_range_is_refused(field, value):
    with pytest.raises(InvalidInput, match=f"link.{field}"):
        Link(**{"uplink": 1.0, "downlink": 1.0, field: value})
