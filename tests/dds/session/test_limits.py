"""Bounds are finite numbers > 0, those that a server or a helper adds too."""

from dataclasses import dataclass, fields

import pytest

from dds.errors import InvalidInput
from dds.session.limits import HostLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class More(HostLimits):
    """A host with a bound of its own, and another default."""

    queue: int = 3
    run_seconds: float = 5.0


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
@pytest.mark.parametrize("name", [field.name for field in fields(More)])
def test_what_is_no_bound_is_refused(name: str, value: float) -> None:
    with pytest.raises(InvalidInput, match=rf"limits\.{name} is {value!r}; need a finite number"):
        More(**{name: value})


def test_defaults_are_bounds() -> None:
    assert (HostLimits().run_seconds, More().run_seconds, More(queue=1).queue) == (60.0, 5.0, 1)
