"""Fixtures of the market tests."""

from __future__ import annotations

import numpy as np
import pytest

from dds.market import passes
from dds.market.table import ClientTable


@pytest.fixture(params=["numba", "numpy"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways in which whole tables are worked on, one after the other."""
    compiled = request.param == "numba"
    monkeypatch.setattr(passes, "compiling_pays", lambda _: compiled)
    return str(request.param)


@pytest.fixture(scope="session")
def crowded() -> ClientTable:
    """Five thousand clients of five pieces, every third with bounds."""
    return drawn(np.random.default_rng(3), 5000)


@pytest.fixture(scope="session")
def hundreds() -> ClientTable:
    """Three hundred of them."""
    return drawn(np.random.default_rng(11), 300)


def drawn(rng: np.random.Generator, count: int, pieces: int = 5) -> ClientTable:
    """Clients with falling works and rising base latencies, every third with bounds."""
    local = rng.lognormal(0.0, 0.8, count)
    work = np.sort(rng.random((pieces - 1, count)), axis=0)[::-1] * local
    base = np.sort(rng.random((pieces - 1, count)), axis=0) * local
    third = np.arange(count) % 3 == 0
    return ClientTable.from_arrays(
        np.vstack((base, local)),
        np.vstack((work, np.zeros(count))),
        rng.lognormal(0.0, 1.0, count),
        min_share=np.where(third, 0.1, 0.0),
        max_share=np.where(third, 0.5, np.inf),
    )
