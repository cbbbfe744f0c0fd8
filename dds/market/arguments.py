"""What every mechanism is given, checked once in the same words: clients, capacities, prices."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from dds.errors import InvalidInput
from dds.market.client import Client
from dds.market.numbers import LARGEST, SMALLEST
from dds.market.table import ClientTable

__all__ = ["check_names", "read_capacity", "read_price", "table_of"]


def table_of(clients: Sequence[Client] | ClientTable) -> ClientTable:
    """The clients as a table, in their order.

    Raises InvalidInput for what is no client, or for none at all.
    """
    if not isinstance(clients, ClientTable):
        for i, client in enumerate(clients):
            if not isinstance(client, Client):
                raise InvalidInput(f"clients[{i}] is {type(client).__name__}; need a Client")
        clients = ClientTable.of(clients)
    if not len(clients):
        raise InvalidInput("clients: need at least one")
    return clients


def check_names(table: ClientTable) -> None:
    """Raise InvalidInput for two clients of one name, which certificates could not tell apart."""
    seen: dict[str, int] = {}
    for i in range(len(table) if table.names else 0):
        first = seen.setdefault(table.name(i), i)
        if first != i:
            raise InvalidInput(f"clients[{i}].name repeats {table.name(i)!r} of clients[{first}]")


def read_capacity(capacity: float) -> float:
    """A capacity in cores; raises InvalidInput unless it is a number within 1e-100..1e100."""
    cores = _number(capacity)
    if not SMALLEST <= cores <= LARGEST:
        raise InvalidInput(f"capacity is {capacity!r}; need {SMALLEST:g} to {LARGEST:g} cores")
    return cores


def read_price(price: float) -> float:
    """A price in credits/s per core; raises InvalidInput unless it is within 0..1e100."""
    value = _number(price)
    if not 0.0 <= value <= LARGEST:
        raise InvalidInput(f"price is {price!r}; need 0 to {LARGEST:g} credits/s per core")
    return value


def _number(value: float) -> float:
    """A float of any number, Python's or numpy's; nan of anything else."""
    number = isinstance(value, (int, float, np.floating, np.integer))
    if not number or isinstance(value, bool):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf
