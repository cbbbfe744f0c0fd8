"""The transition tables: complete, reachable, and the ones the documentation shows."""

from pathlib import Path

import pytest

from dds.errors import InvalidInput
from dds.session.states import (
    CLIENT,
    MARKET,
    MEMBER,
    ClientEvent,
    ClientState,
    MarketState,
    MemberState,
    as_markdown,
    step,
)

DOC = Path(__file__).parents[3] / "docs" / "protocol.md"
TABLES = {
    "MARKET": (MARKET, MarketState.GATHERING, {MarketState.CLOSED}),
    "MEMBER": (MEMBER, MemberState.ADMITTED, {MemberState.GONE}),
    "CLIENT": (
        CLIENT,
        ClientState.IDLE,
        {ClientState.LEFT, ClientState.REFUSED, ClientState.LOST},
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_every_state_is_reachable_and_only_the_last_ones_end(name: str) -> None:
    table, first, last = TABLES[name]
    reached, frontier = {first}, [first]
    while frontier:
        for after in table[frontier.pop()].values():
            if after not in reached:
                reached.add(after)
                frontier.append(after)
    assert reached == set(table) == set(type(first))
    assert {state for state, row in table.items() if not row} == last


@pytest.mark.parametrize("name", TABLES)
def test_step_follows_the_table_and_refuses_the_rest(name: str) -> None:
    table = TABLES[name][0]
    events = {event for row in table.values() for event in row}
    for state, row in table.items():
        for event in events:
            if event in row:
                assert step(table, state, event) is row[event]
            else:
                with pytest.raises(InvalidInput, match=f"cannot happen in state {state.value}"):
                    step(table, state, event)


def test_the_refusal_names_the_way_out() -> None:
    with pytest.raises(InvalidInput) as caught:
        step(CLIENT, ClientState.IDLE, ClientEvent.POST)
    assert str(caught.value) == "post cannot happen in state idle; what can: update, start"


@pytest.mark.parametrize("name", TABLES)
def test_the_page_shows_the_table(name: str) -> None:
    text = DOC.read_text(encoding="utf-8")
    shown = text.split(f"<!-- {name} -->\n", 1)[1].split("\n\n", 1)[0]
    assert shown == as_markdown(TABLES[name][0])
