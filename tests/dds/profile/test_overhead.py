import pytest

from dds.profile.overhead import profiler_overhead
from dds.profile.runtime import OPTIMISATIONS, Runtime


@pytest.mark.parametrize("optimisation", OPTIMISATIONS)
def test_the_profiler_adds_something_to_each_kernel(optimisation: str) -> None:
    # The chain it is measured with must not be fused: that would fail inside, by its shape.
    overhead = profiler_overhead(Runtime(1, optimisation))
    assert overhead.added >= 0.0
    assert overhead.least > 0.0


def test_it_is_measured_once_per_runtime() -> None:
    assert profiler_overhead(Runtime()) is profiler_overhead(Runtime(1, "all"))
