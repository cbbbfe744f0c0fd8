import json
import stat
from pathlib import Path

import pytest

from dds.errors import Infeasible
from dds.model import load_model, zoo
from dds.model.graph import ModelGraph
from dds.profile.cache import cache_directory, measured_profile, one_at_a_time
from dds.profile.platform import Platform
from dds.profile.runtime import Runtime


@pytest.fixture(scope="module")
def model() -> tuple[bytes, ModelGraph]:
    data = zoo.build("shufflenet")
    return data, load_model(data)


def test_a_model_is_measured_once(model: tuple[bytes, ModelGraph], tmp_path: Path) -> None:
    first, cached = measured_profile(*model, cache=tmp_path, repeats=1)
    assert not cached
    assert measured_profile(*model, cache=tmp_path, repeats=1) == (first, True)
    assert [path.suffix for path in (tmp_path / "profiles").iterdir()] == [".json"]


def test_more_repeats_measure_again_if_the_budget_allows_more(
    model: tuple[bytes, ModelGraph], tmp_path: Path
) -> None:
    measured_profile(*model, cache=tmp_path, repeats=1)
    assert measured_profile(*model, cache=tmp_path, repeats=2, budget=1e-9)[1]
    assert not measured_profile(*model, cache=tmp_path, repeats=2)[1]
    assert measured_profile(*model, cache=tmp_path, repeats=2)[1]
    assert measured_profile(*model, cache=tmp_path, repeats=1)[1]


def test_each_platform_has_its_own_profile(model: tuple[bytes, ModelGraph], tmp_path: Path) -> None:
    platforms = [Platform(), Platform(Runtime(2)), Platform(frequency=0.5)]
    for platform in platforms:
        profile, cached = measured_profile(*model, cache=tmp_path, repeats=1, platform=platform)
        assert not cached
        assert profile.platform == platform.fingerprint
    assert len(list((tmp_path / "profiles").iterdir())) == len(platforms)


@pytest.mark.parametrize("damage", ["", "{", '{"format": "dds-profile/1"}'])
def test_a_damaged_file_is_replaced(
    model: tuple[bytes, ModelGraph], tmp_path: Path, damage: str
) -> None:
    first, _ = measured_profile(*model, cache=tmp_path, repeats=1)
    (file,) = (tmp_path / "profiles").iterdir()
    file.write_text(damage)
    second, cached = measured_profile(*model, cache=tmp_path, repeats=1)
    assert not cached
    assert file.read_text() == second.to_json()
    assert second.operators == first.operators


@pytest.mark.parametrize(
    "change", [{"digest": "0" * 64}, {"platform": "another machine"}, {"whole": 0.0}]
)
def test_a_file_of_something_else_is_replaced(
    model: tuple[bytes, ModelGraph], tmp_path: Path, change: dict[str, object]
) -> None:
    measured_profile(*model, cache=tmp_path, repeats=1)
    (file,) = (tmp_path / "profiles").iterdir()
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    assert not measured_profile(*model, cache=tmp_path, repeats=1)[1]
    assert measured_profile(*model, cache=tmp_path, repeats=1)[1]


def test_waiting_for_another_measurement_ends(
    monkeypatch: pytest.MonkeyPatch, model: tuple[bytes, ModelGraph], tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with one_at_a_time():
        with pytest.raises(Infeasible, match="another process is measuring"), one_at_a_time(0.0):
            raise AssertionError
        with pytest.raises(Infeasible):
            measured_profile(*model, repeats=1, patience=0.1)
    with one_at_a_time(0.0):
        pass


def test_a_cache_that_cannot_be_written_only_costs_time(
    model: tuple[bytes, ModelGraph], tmp_path: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    profile, cached = measured_profile(*model, cache=blocked, repeats=1)
    assert profile.repeats == 1
    assert not cached


def test_the_cache_follows_xdg_then_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_directory() == tmp_path / "dds"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_directory() == tmp_path / "home" / ".cache" / "dds"


def test_without_a_home_there_is_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert cache_directory() is None


def test_files_are_readable_by_their_owner(model: tuple[bytes, ModelGraph], tmp_path: Path) -> None:
    measured_profile(*model, cache=tmp_path, repeats=1)
    (file,) = (tmp_path / "profiles").iterdir()
    assert file.stat().st_mode & stat.S_IRUSR
