"""`sync.py` is generated from `aio.py`: the script reports a stale file, and both have the same methods."""

import importlib.util
import inspect
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from rag_assets.repositories import aio, sync
from rag_assets.repositories.base import Repository, SyncRepository

ROOT = Path(__file__).parents[3]
AIO, SYNC = "rag_assets/repositories/aio.py", "rag_assets/repositories/sync.py"


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("async_to_sync", ROOT / ".ci" / "async_to_sync.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    for name in (AIO, SYNC):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_the_generated_file_is_current_and_marked_as_generated(script: ModuleType) -> None:
    assert script.main(["--check"]) == 0
    first, second, *_ = (ROOT / SYNC).read_text("utf-8").splitlines()
    assert first == f"# Generated from {AIO} by .ci/async_to_sync.py: do not edit."
    assert "python .ci/async_to_sync.py" in second


def test_a_stale_file_is_reported_with_a_diff_and_then_written(
    script: ModuleType, copies: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = copies / AIO
    source.write_text(source.read_text("utf-8") + "\n\nclass Notes(Repository):\n    get = async_method(users.get)\n")
    before = (copies / SYNC).read_text("utf-8")
    assert script.main(["--check"], root=copies) == 1
    captured = capsys.readouterr()
    assert "+class SyncNotes(SyncRepository):\n+    get = sync_method(users.get)\n" in captured.out
    assert "run: python .ci/async_to_sync.py" in captured.err
    assert (copies / SYNC).read_text("utf-8") == before
    assert script.main([], root=copies) == 0
    assert script.main(["--check"], root=copies) == 0


def test_a_change_to_the_generated_file_alone_is_reported(
    script: ModuleType, copies: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = copies / SYNC
    target.write_text(target.read_text("utf-8").replace("    touch = sync_method(sessions.touch)\n", ""))
    assert script.main(["--check"], root=copies) == 1
    assert "+    touch = sync_method(sessions.touch)\n" in capsys.readouterr().out


def test_each_async_class_has_a_sync_class_with_the_same_methods() -> None:
    classes = {name: value for name, value in vars(aio).items() if _is_repository(value, Repository)}
    assert len(classes) >= 9
    for name, asynchronous in classes.items():
        blocking = getattr(sync, f"Sync{name}")
        assert _is_repository(blocking, SyncRepository)
        methods = _methods(asynchronous)
        assert methods == _methods(blocking)
        for method in methods:
            assert inspect.iscoroutinefunction(getattr(asynchronous, method))
            assert not inspect.iscoroutinefunction(getattr(blocking, method))
            assert getattr(asynchronous, method).__doc__ == getattr(blocking, method).__doc__


def _is_repository(value: object, base: type) -> bool:
    return isinstance(value, type) and issubclass(value, base) and value is not base


def _methods(repository: type) -> set[str]:
    return {name for name, value in vars(repository).items() if inspect.isfunction(value)}
