"""The parallel experiment: what a cell compares, and what the cells say together."""

import json
import math
from dataclasses import replace

import pytest

from dds import DEVICES, InvalidInput, WorkerLinks, schedule
from dds.experiments import parallel_report as report
from dds.experiments.parallel import (
    ALONE,
    EMULATED,
    HELPERS,
    NETWORKS,
    RIVALS,
    Cell,
    Setting,
    run,
    summary,
)
from dds.experiments.parallel_chart import draw, gantt, most_gained
from dds.model.importer import load_model
from dds.model.zoo import build
from dds.parallel.baselines import BASELINES
from dds.parallel.checker import violations
from dds.parallel.normalise import normalise
from dds.parallel.schedule import baselines

SMALL = Setting(models=("squeezenet", "alexnet"), helpers=HELPERS[:2])


@pytest.fixture(scope="module")
def cells() -> tuple[Cell, ...]:
    return run(SMALL)


def test_there_is_a_cell_for_each_network_group_and_model(cells) -> None:
    places = [(c.network, c.helpers, c.model) for c in cells]
    assert len(set(places)) == len(places) == 3 * 2 * 2
    assert {c.network for c in cells} == set(NETWORKS)


def test_the_default_has_two_three_and_four_helpers_and_all_of_the_zoo() -> None:
    assert [len(group) for group in Setting().helpers] == [2, 3, 4]
    assert all(len(set(group)) == len(group) for group in HELPERS)
    assert len(Setting().models) == 9
    assert (EMULATED.flops_per_s, EMULATED.bytes_per_s) == (8e9, 4e9)


def test_no_rival_is_faster_in_any_cell_and_no_plan_below_its_bound(cells) -> None:
    for cell in cells:
        for name, seconds in cell.rivals.items():
            assert cell.latency <= seconds * (1.0 + 1e-9), (cell, name)
        assert cell.bound <= cell.latency * (1.0 + 1e-9)
        assert cell.violations == ()
    found = summary(cells)
    assert (found.worse, found.invalid) == (0, 0)


def test_a_cell_is_what_schedules_and_baselines_say_of_the_normalised_model(cells) -> None:
    graph = load_model(normalise(build("squeezenet")))
    cell = next(
        c for c in cells if (c.network, c.model, len(c.helpers)) == ("wired", "squeezenet", 2)
    )
    workers = SMALL.team((1.0, 2.0))
    assert [worker.timing.flops_per_s for worker in workers] == [8e9, 8e9, 16e9]
    links = WorkerLinks(125e6, 2e-4)
    assert cell.schedule == schedule(graph, workers, links)
    assert violations(graph, workers, links, cell.schedule) == ()
    others = {name: plan.latency for name, plan in baselines(graph, workers, links).items()}
    assert {name: cell.rivals[name] for name in BASELINES} == others
    assert cell.rivals["operators"] == schedule(graph, workers, links, slices=False).latency
    device = sum(workers[0].timing.overhead + max(
        op.flops / 8e9,
        (op.weight_bytes + sum(graph.tensors[t].bytes for t in op.inputs + op.outputs)) / 4e9,
    ) for op in graph.operators)  # fmt: skip
    assert math.isclose(cell.alone, device, rel_tol=1e-9)
    assert math.isclose(cell.bound, device / 4.0, rel_tol=1e-9)


def test_progress_counts_the_cells_and_another_device_can_be_taken() -> None:
    told = []
    setting = Setting(
        models=("squeezenet",), device=DEVICES["raspberry-pi-4"], helpers=((2.0,),),
        networks={"wired": NETWORKS["wired"]},
    )  # fmt: skip
    (cell,) = run(setting, lambda *counts: told.append(counts))
    assert told == [(1, 1)]
    assert setting.team((2.0,))[1].timing.overhead == DEVICES["raspberry-pi-4"].overhead / 2.0
    assert cell.latency < cell.alone


def test_means_medians_and_ties_are_counted_cell_by_cell(cells) -> None:
    ours = cells[0].latency
    tie = replace(cells[0], rivals=dict.fromkeys(RIVALS, ours * (1.0 + 1e-12)))
    half = replace(cells[0], rivals=dict.fromkeys(RIVALS, 2.0 * ours) | {"rows": 4.0 * ours})
    found = summary([tie, tie, half])
    assert found.ties == dict.fromkeys(RIVALS, 2) | {ALONE: 0}
    assert found.median == dict.fromkeys(RIVALS, 0.0) | {ALONE: 1.0 - ours / cells[0].alone}
    assert math.isclose(found.mean["rows"], 0.25)
    assert math.isclose(found.mean["heft"], 0.5 / 3.0)
    assert (found.best_ties, found.best_median, found.best_most) == (2, 0.0, 0.5)
    assert (found.worse, found.invalid) == (0, 0)
    assert report.rows([tie])[1][-1] == "tie"
    assert report.rows([half])[1][-1] == "50.00 %"


def test_anything_faster_and_anything_invalid_is_a_failure(cells) -> None:
    faster = replace(cells[0], rivals=cells[0].rivals | {"heft": 0.9 * cells[0].latency})
    wrong = replace(cells[0], violations=("output is late",))
    found = summary([cells[0], faster, wrong])
    assert (found.worse, found.invalid) == (1, 1)
    said = report.summary_lines([cells[0], faster, wrong])
    assert sum(line.startswith("FAILED") for line in said) == 2
    assert any("output is late" in line for line in said)
    assert not any("FAILED" in line for line in report.summary_lines([cells[0]]))


def test_the_document_is_json_with_every_cell_and_number(cells) -> None:
    found = json.loads(json.dumps(report.document(SMALL, cells), allow_nan=False))
    assert found["format"] == "dds-parallel/1"
    assert len(found["cells"]) == len(cells) == found["summary"]["all"]["cells"]
    assert list(found["cells"][0]["latency_s"]) == ["ours", *RIVALS, "device alone"]
    assert found["setting"]["networks"]["WiFi5"] == {
        "bytes_per_s": 25e6, "message_s": 2e-3, "shared": True,
    }  # fmt: skip
    assert found["summary"]["wired"]["cells"] == 4
    assert found["summary"]["all"]["saved_mean"]["best"] == summary(cells).best_mean


def test_rows_are_as_wide_as_their_heads(cells) -> None:
    for table in (report.rows(cells), report.summary_rows(cells)):
        assert len({len(row) for row in table}) == 1
    head, first, *_ = report.rows(cells)
    assert first[head.index("speeds")] == "1+1+2"
    assert [row[0] for row in report.summary_rows(cells)[1:4]] == [ALONE, "single", "layer-wise"]
    assert float(first[head.index("ours")]) == pytest.approx(1e3 * cells[0].latency, abs=0.05)


@pytest.mark.parametrize("best", ["rows", "operators"])
def test_the_picture_is_of_the_cell_that_gains_most(cells, best) -> None:
    cell = most_gained(cells)
    assert cell.saved(cell.best) == max(c.saved(c.best) for c in cells)
    shown = replace(cell, rivals=cell.rivals | {best: 0.5 * cell.latency})
    assert shown.best == best
    assert draw(SMALL, shown).startswith(b"\x89PNG\r\n")


def test_the_picture_has_a_bar_for_each_task_and_transfer_where_it_is(cells) -> None:
    cell = most_gained(cells)
    ours, rival = gantt(SMALL, cell).axes
    bars = [bar.get_paths()[0].get_extents() for bar in ours.collections]
    uses = [(task.worker, task.start, task.end) for task in cell.schedule.tasks]
    uses += [(sent.sender, sent.start, sent.end) for sent in cell.schedule.transfers]
    drawn = sorted((round(bar.y0), bar.x0, bar.x1) for bar in bars)
    there = sorted((worker, 1e3 * start, 1e3 * end) for worker, start, end in uses if end > start)
    assert len(drawn) == len(there) > 0
    for (row, *span), (worker, *times) in zip(drawn, there, strict=True):
        assert row == worker
        assert span == pytest.approx(times)
    assert cell.best in rival.get_title(loc="left")


def test_the_picture_says_than_what_latency_is_less(cells) -> None:
    cell = most_gained(cells)
    ours = cell.latency
    slower = replace(cell, rivals=dict.fromkeys(RIVALS, 2.0 * ours), alone=4.0 * ours)
    title = gantt(SMALL, slower).get_suptitle()
    assert f"75.0 % below that of the device alone ({4e3 * ours:.1f} ms), " in title
    assert title.endswith(f"50.0 % below that of {slower.best}")
    same = replace(cell, rivals=dict.fromkeys(RIVALS, ours))
    assert gantt(SMALL, same).get_suptitle().endswith(f"), that of {same.best}")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"models": ()}, "models are none"),
        ({"models": ("alexnet", "alexnet")}, "name each once"),
        ({"models": ("lenet",)}, "lenet"),
        ({"helpers": ()}, "none given"),
        ({"helpers": ((1.0,), (1.0,))}, "a group twice"),
        ({"helpers": ((),)}, "a group of 0"),
        ({"helpers": ((1.0,) * 8,)}, "a group of 8"),
        ({"helpers": ((math.nan,),)}, "speed of nan"),
        ({"helpers": ((1e-9,),)}, "speed of 1e-09"),
        ({"thin": -1.0}, "thin"),
        ({"overhead": math.inf}, "overhead"),
    ],
)
def test_a_bad_setting_is_named(change, says) -> None:
    with pytest.raises(InvalidInput, match=says):
        run(replace(SMALL, **change))
