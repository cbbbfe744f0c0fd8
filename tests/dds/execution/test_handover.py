"""What a worker reads is what was written for it."""

from __future__ import annotations

import io

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dds import load_model
from dds.execution.handover import Handover, read_handover, write_handover
from dds.execution.shared_memory import slots_of
from dds.parallel.program import programs
from dds.parallel.rewrite import Source
from dds.profile.runtime import Runtime
from dds.testing.slices import schedules, sliceable_models


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(sliceable_models(), st.integers(1, 3), st.data())
def test_programs_come_back(model, workers, data) -> None:
    graph = load_model(model)
    team = programs(Source.read(model, graph), data.draw(schedules(graph, workers)), workers)
    slots = slots_of(team, graph)
    runtime = Runtime(data.draw(st.integers(1, 4)), data.draw(st.sampled_from(["none", "all"])))
    for program in team:
        given = Handover(program, 3, "onnxruntime", runtime, 17, 5, slots, (1, 2))
        file = io.BytesIO()
        write_handover(file, given)
        file.seek(0)
        assert read_handover(file) == given
