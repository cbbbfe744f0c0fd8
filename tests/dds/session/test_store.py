from dataclasses import dataclass

import pytest

from dds.session.refusals import Busy, UnknownModel
from dds.session.store import ModelStore


@dataclass(frozen=True)
class Model:
    digest: str
    size: int


def store(room: int = 100) -> ModelStore[Model]:
    return ModelStore(room)


def put(models: ModelStore[Model], digest: str, lease: str, size: int = 10) -> None:
    with models.reserve(size):
        models.add(Model(digest, size), lease)


def test_a_model_is_for_the_leases_that_announced_it() -> None:
    models = store()
    put(models, "m", "a")
    assert models.get("m", "a").digest == "m"
    with pytest.raises(UnknownModel, match="PutModel"):
        models.get("m", "b")
    models.allow("m", "b")
    assert models.get("m", "b").digest == "m"


def test_a_model_that_is_not_here_cannot_be_allowed() -> None:
    with pytest.raises(UnknownModel, match="upload it"):
        store().allow("m", "a")


def test_a_model_goes_with_the_last_lease_that_uses_it() -> None:
    models = store()
    put(models, "m", "a")
    models.allow("m", "b")
    models.forget("a")
    assert "m" in models
    with pytest.raises(UnknownModel):
        models.get("m", "a")
    models.forget("b")
    assert len(models) == 0
    assert models.bytes == 0


def test_a_lease_without_models_can_be_forgotten() -> None:
    models = store()
    put(models, "m", "a")
    models.forget("nobody")
    assert "m" in models


def test_what_is_handed_over_goes_with_the_heir() -> None:
    models = store()
    put(models, "m", "a")
    put(models, "n", "a")
    models.hand_over(["m"], "a", "b")
    models.forget("a")
    assert "m" in models
    assert "n" not in models
    models.forget("b")
    assert len(models) == 0


def test_what_does_not_fit_is_refused() -> None:
    models = store(100)
    put(models, "a", "a", 60)
    with pytest.raises(Busy, match="60 B of 100 B"), models.reserve(50):
        pass
    with models.reserve(40):
        assert models.bytes == 100


def test_a_flood_of_small_models_is_refused() -> None:
    models = ModelStore[Model](100, most=2)
    put(models, "a", "a", 1)
    put(models, "b", "a", 1)
    with pytest.raises(Busy, match="2 models"), models.reserve(1):
        pass


def test_room_is_reserved_while_an_upload_runs() -> None:
    models = store(100)
    with models.reserve(60):
        assert models.bytes == 60
        with pytest.raises(Busy), models.reserve(60):
            pass
    assert models.bytes == 0


def test_a_failed_upload_gives_its_room_back() -> None:
    models = store(100)
    with pytest.raises(ValueError, match="broken"), models.reserve(60):
        raise ValueError("broken")
    assert models.bytes == 0


def test_the_same_model_twice_is_kept_once() -> None:
    models = store()
    put(models, "m", "a")
    put(models, "m", "b")
    assert len(models) == 1
    assert models.bytes == 10
    assert models.get("m", "a") is models.get("m", "b")
