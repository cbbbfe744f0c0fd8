import gc
import weakref

from dds.costs.once import once_per_graph
from dds.model.graph import ModelGraph


class Answer:
    pass


def test_an_answer_is_worked_out_once_per_graph_object_and_forgotten_with_it():
    asked = []

    @once_per_graph
    def answer(graph):
        asked.append(graph.name)
        return Answer()

    first, second = (ModelGraph((), (), (), (), name="alike") for _ in range(2))
    assert first == second
    assert answer(first) is answer(first)
    assert answer(second) is not answer(first)
    assert asked == ["alike", "alike"]
    kept = weakref.ref(answer(first))
    del first
    gc.collect()
    assert kept() is None
