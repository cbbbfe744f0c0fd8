"""Which product, and why: cases with one right answer."""

from dataclasses import replace

import pytest

from dds.cut.pieces import Frontier
from dds.errors import Infeasible, InvalidInput
from dds.market.client import Client
from dds.pool import Pool, PooledEquilibrium, recommend

POINTS = [(0.1, 0.2), (0.4, 0.0)]


def client(points: list[tuple[float, float]] = POINTS, **fields: float) -> Client:
    return Client(
        Frontier.from_points(points), **({"value_of_time": 1.0, "max_share": 1.0} | fields)
    )


def test_light_load_is_shared() -> None:
    """A lease reserves peak speed that mostly idles: twenty clients of 0.1/s on four cores."""
    found = recommend([client(rate=0.1) for _ in range(20)], Pool(4))
    assert found.product == "pooled"
    assert isinstance(found.result, PooledEquilibrium)
    assert found.result.load == pytest.approx(0.1)
    assert found.mean_latency == pytest.approx(0.3, rel=1e-3)
    assert found["reserved-social"].mean_latency > 1.1 * found.mean_latency
    assert found.why.startswith("sharing the pool gives 300 ms on average at load 0.10; leases")


def test_overload_is_tolled_away() -> None:
    """At 20/s each the twenty would bring a load of 20: the equilibrium keeps below 1."""
    found = recommend([client(rate=20.0) for _ in range(20)], Pool(4))
    shared = found["pooled"].result
    assert isinstance(shared, PooledEquilibrium)
    assert shared.load < 1.0
    assert found.mean_latency <= 0.4
    # A lease of a core is less than four core seconds a second.
    assert "less than their client's load" in found["reserved-social"].note
    assert found["reserved-social"].promised < 0.4


def test_a_lease_shields_the_one_in_a_hurry() -> None:
    """Who must offload and hardly cares fills the pool; a lease keeps the other's core free."""
    hurried = client([(0.1, 0.4), (5.0, 0.0)], value_of_time=100.0, min_share=1.0, rate=0.05)
    patient = client([(0.1, 0.9)], value_of_time=0.01, min_share=0.95, rate=1.0)
    found = recommend([hurried, patient], Pool(2))
    assert found.product in ("pooled", "reserved-social")
    crowd = [replace(patient, name=str(i)) for i in range(3)]
    found = recommend([hurried, *crowd], Pool(4))
    assert found.product == "reserved-social"
    assert found["reserved-social"].mean_latency < found["pooled"].mean_latency
    assert found.why.startswith("leases shield clients from each other: ")
    assert "the pool would give" in found.why


def test_a_fast_device_stays_local() -> None:
    found = recommend([client([(0.3, 0.2), (0.05, 0.0)])] * 3, Pool(4))
    assert found.product == "local"
    assert found.result is None
    assert found.mean_latency == pytest.approx(0.05)
    assert found.why == "offloading gains nobody anything: 50 ms on average either way"


def test_one_client() -> None:
    """Alone, sharing is a lease of one core that queues its own requests: a tie."""
    found = recommend([client([(0.1, 0.2)], rate=2.0)], Pool(1))
    assert found["pooled"].mean_latency == pytest.approx(0.1 + 0.2 / (1 - 0.4))
    assert found["reserved-social"].mean_latency == pytest.approx(0.1 + 0.2 / (1 - 0.4))
    assert found["reserved-social"].promised == pytest.approx(0.3)
    assert found["local"].note == "1 clients must offload"


def test_nobody_can_serve_them() -> None:
    with pytest.raises(Infeasible, match=r"no product can serve .* load of 2 at least"):
        recommend([client([(0.1, 1.0)], rate=2.0)], Pool(1))
    with pytest.raises(Infeasible, match="reserved-market"):
        recommend([client([(0.1, 1.0)], rate=2.0, min_share=1.0)] * 2, Pool(1))


def test_wrong_arguments() -> None:
    with pytest.raises(InvalidInput, match="server is 4"):
        recommend([client()], 4)
    with pytest.raises(InvalidInput, match="there are local, pooled, reserved-social"):
        recommend([client()], Pool(4))["leases"]
    with pytest.raises(InvalidInput, match="at least one"):
        recommend([], Pool(1))
