"""Plans of the search: whatever it may try is a valid schedule, or refused; and no randomness."""

import os
import subprocess
import sys

import numpy as np
import pytest
from parallel import LINKS, drawn, team

from dds.model import load_model, zoo
from dds.model.graph import ModelGraph
from dds.parallel.checker import violations
from dds.parallel.schedule import end_of, schedule, schedule_of
from dds.parallel.search_structure import structure_of
from dds.parallel.search_tables import Plan, Scratch, Tables, plan_of, tables_of
from dds.parallel.workers import Worker, WorkerLinks
from dds.testing.models import text_model


def random_plan(rng: np.random.Generator, tables: Tables) -> Plan:
    """Any layouts, in stretches, with borders anywhere, and one run of several units."""
    count = tables.units
    layout = np.zeros(count, np.int64)
    lay = 0
    first = int(rng.integers(2, count - 1))
    stop = min(first + int(rng.integers(1, 6)), count - 1)
    for v in range(1, count - 1):
        if rng.random() < 0.3 or v in (first - 1, stop):
            lay = int(
                rng.choice(np.flatnonzero(tables.kinds == 2) if v < stop else len(tables.kinds))
            )
        layout[v] = lay if tables.valid[v, lay] else 0
    plan = plan_of(tables, layout, np.arange(count))
    for v in range(1, count - 1):
        size = tables.extent[v, plan.kind[v] - 1] if plan.kind[v] else 0
        if size and rng.random() < 0.5:
            step = tables.align[plan.kind[v]]
            inner = rng.integers(0, size // step + 1, tables.workers - 1) * step
            plan.cut[v, 1:-1] = np.sort(inner)
    plan.joined[first:stop] = 1
    return plan


@pytest.mark.parametrize("name", ["alexnet", "squeezenet", "resnet50", "drawn"])
def test_every_plan_with_an_end_is_a_valid_schedule(name: str) -> None:
    rng = np.random.default_rng(11)
    valid = 0
    graph = load_model(zoo.topology("alexnet" if name == "drawn" else name))
    for i in range(100 if name == "drawn" else 20):
        if name == "drawn":
            graph, workers, links = drawn(rng, 10, 3, slices=True)
        else:
            workers, links = team((1, 2, 4)), list(LINKS.values())[i % len(LINKS)]
        tables = tables_of(graph, workers, links, slices=True, fused=i % 2 == 0)
        plan = random_plan(rng, tables)
        if not np.isfinite(end_of(tables, Scratch.of(tables), plan)):
            continue
        found = schedule_of(tables, structure_of(graph, fused=i % 2 == 0).units, plan, "any")
        assert violations(graph, workers, links, found) == ()
        valid += 1
    assert valid >= 5


@pytest.mark.parametrize("channels", [3, 8, 24, 40])
def test_every_layout_gives_each_index_to_one_worker(channels: int) -> None:
    """Also where the last pack of channels is not full."""
    graph = load_model(
        text_model(
            f"""(float[1,{channels},9,9] x, float[{channels},{channels},3,3] w)
            => (float[1,{channels},9,9] y) {{
                a = Conv <pads = [1,1,1,1]> (x, w)
                b = Relu(a)
                y = Conv <pads = [1,1,1,1]> (b, w)
            }}"""
        )
    )
    rng = np.random.default_rng(channels)
    for workers in (2, 3, 4, 4, 6):
        crowd = [
            Worker(rng.uniform(0.5, 2.0, 3), rng.uniform(0.0, 2.0), 0.5) for _ in range(workers)
        ]
        tables = tables_of(graph, crowd, WorkerLinks(1e12), slices=True, fused=False)
        sliced = tables.kinds[tables.kinds > 0]
        cut = tables.cut[1:-1][:, tables.kinds > 0]
        assert (np.diff(cut) >= 0).all()
        assert (cut[:, :, -1] == tables.extent[1:-1][:, sliced - 1]).all()
        found = schedule(graph, crowd, WorkerLinks(1e12), tries=40)
        assert violations(graph, crowd, WorkerLinks(1e12), found) == ()


def test_tables_have_the_same_types_whatever_the_question() -> None:
    """Or the kernels would be compiled anew, for most of a minute."""
    rng = np.random.default_rng(0)
    empty = ModelGraph((), (), (), ()), [Worker([])], WorkerLinks(1.0)
    questions = [drawn(rng, 12, 3, slices=True), drawn(rng, 12, 3), drawn(rng, 1, 1), empty]
    types = {
        tuple(
            (array.dtype, array.ndim, array.flags.c_contiguous, array.flags.writeable)
            if isinstance(array, np.ndarray)
            else type(array)
            for array in tables_of(*question, slices=slices, fused=fused)
        )
        for question in questions
        for slices in (False, True)
        for fused in (False, True)
    }
    assert len(types) == 1


def test_equal_questions_get_equal_answers_with_and_without_numba() -> None:
    program = (
        "import sys\n"
        "sys.modules['numba'] = None\n"
        "import numpy as np\n"
        "from parallel import LINKS, drawn, team\n"
        "from dds.model import load_model, zoo\n"
        "from dds.parallel.schedule import schedule\n"
        "asked = load_model(zoo.topology('alexnet')), team((1, 2)), LINKS['1 Gbit/s']\n"
        "print(repr(schedule(*asked, tries=100)))\n"
        "rng = np.random.default_rng(1)\n"
        "print(repr([schedule(*drawn(rng, 12, 3, slices=True), tries=100) for _ in range(3)]))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    asked = load_model(zoo.topology("alexnet")), team((1, 2)), LINKS["1 Gbit/s"]
    rng = np.random.default_rng(1)
    others = [schedule(*drawn(rng, 12, 3, slices=True), tries=100) for _ in range(3)]
    assert run.stdout == f"{schedule(*asked, tries=100)!r}\n{others!r}\n"
