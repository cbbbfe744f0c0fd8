"""Which tensors go where: against values that say where they come from."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dds.errors import InvalidInput
from mec_server.chaining import Boundary, Chained, Route, route
from mec_server.executor import Execution

NAMES = "abcdef"
names = st.lists(st.sampled_from(NAMES), unique=True).map(tuple)
boundaries = st.builds(Boundary, names, names)


def wrong(own: Boundary, following: Boundary, sent: set[str], wanted: set[str]) -> bool:
    """Whether something lacks, is too much, or is asked for in vain."""
    passing = set(following.inputs) - set(own.outputs)
    return bool(
        passing - sent
        or sent - set(own.inputs) - passing
        or wanted - set(own.outputs) - set(following.outputs)
    )


@settings(deadline=None, max_examples=300)
@given(boundaries, boundaries, names, names)
def test_every_tensor_comes_from_where_it_is_made(
    own: Boundary, following: Boundary, sent: tuple[str, ...], wanted: tuple[str, ...]
) -> None:
    if wrong(own, following, set(sent), set(wanted)):
        with pytest.raises(InvalidInput):
            route(own, following, sent, wanted)
        return
    way = route(own, following, sent, wanted)
    inputs = {name: f"{name} sent" for name in sent}
    made = {name: f"{name} made first" for name in own.outputs}
    then = {name: f"{name} made next" for name in way.asked}
    assert way.own_feeds(inputs) == {name: inputs[name] for name in own.inputs if name in sent}
    assert way.then_feeds(inputs, made) == {
        name: f"{name} made first" if name in own.outputs else f"{name} sent"
        for name in following.inputs
    }
    expected = wanted or (
        *(name for name in own.outputs if name not in following.inputs),
        *following.outputs,
    )
    assert way.answer(made, then) == {
        name: f"{name} made first" if name in own.outputs else f"{name} made next"
        for name in expected
    }
    assert set(way.asked) <= set(following.outputs) - set(own.outputs)


@pytest.mark.parametrize(
    ("sent", "wanted", "complaint"),
    [
        ("x", "", "input 'p' is missing: the next part reads it"),
        ("xpq", "", "input 'q' is read by neither part"),
        ("xp", "w", r"output 'w' is not one of the two parts': \['y', 'z'\]"),
    ],
)
def test_what_is_wrong_is_named(sent: str, wanted: str, complaint: str) -> None:
    own, following = Boundary(("x",), ("y",)), Boundary(("y", "p"), ("z",))
    assert route(own, following, "xp", ()) == Route(("x",), ("p",), ("y",), ("z",), ("z",))
    with pytest.raises(InvalidInput, match=complaint):
        route(own, following, sent, tuple(wanted))


def test_the_times_of_both_parts_have_their_names() -> None:
    done = Chained({}, Execution({}, 1.0, 2.0, 3.0), Execution({}, 4.0, 5.0, 6.0), 7.0)
    assert done.seconds == {
        "cpu": 1.0,
        "paced": 2.0,
        "wall": 3.0,
        "then_cpu": 4.0,
        "then_paced": 5.0,
        "then_wall": 6.0,
        "then_network": 7.0,
    }
