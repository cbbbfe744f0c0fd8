"""Workers and their links: what may be given, and what is refused in one line."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from dds.costs import DEVICES, Link
from dds.errors import InvalidInput
from dds.model.graph import ModelGraph
from dds.parallel.bound import lower_bound
from dds.parallel.checker import violations
from dds.parallel.frontier import parallel_frontier
from dds.parallel.schedule import Schedule, baselines, schedule
from dds.parallel.workers import Worker, WorkerLinks

EMPTY = ModelGraph((), (), (), ())
NOTHING = Schedule((), (), 0.0, "")


@pytest.mark.parametrize("form", [tuple, list, np.array, np.float32])
def test_bandwidths_may_come_in_any_form(form) -> None:
    links = WorkerLinks(form([1e6, 2e6, 4e6]))
    assert links == WorkerLinks((1e6, 2e6, 4e6))
    assert hash(links) == hash(WorkerLinks((1e6, 2e6, 4e6)))
    assert links.rates(3).tolist() == [[1e6, 1e6, 1e6], [1e6, 2e6, 2e6], [1e6, 2e6, 4e6]]


@pytest.mark.parametrize(
    "wrong", [0.0, -1.0, np.nan, [1e6, 0.0], np.full((3, 3), 1e6), "fast", [1e6, "fast"], None, {}]
)
def test_bandwidths_that_are_none_are_refused(wrong) -> None:
    with pytest.raises(InvalidInput, match=r"^links\.bandwidth is ") as refused:
        WorkerLinks(wrong)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"graph": "m.onnx"}, r"graph is of type str; load one: dds\.load_model\("),
        ({"workers": [Worker([]), DEVICES["phone"]]}, r"workers\[1\] is of type Device; make a"),
        ({"workers": [np.ones(0)]}, r"workers\[0\] is of type ndarray; make a worker of it"),
        ({"workers": Worker([])}, r"workers: of type Worker; need a list"),
        ({"links": 1e6}, r"links: of type float; need dds\.WorkerLinks\("),
    ],
)
def test_what_is_of_another_type_is_one_line(change, says) -> None:
    asked = {"graph": EMPTY, "workers": [Worker([])], "links": WorkerLinks(1.0)} | change
    for call in (schedule, baselines, lower_bound, partial(violations, schedule=NOTHING)):
        with pytest.raises(InvalidInput, match=says):
            call(**asked)
    with pytest.raises(InvalidInput, match=says):
        parallel_frontier(**asked, server=[], link=Link(1.0, 1.0))
