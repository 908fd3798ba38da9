"""For each document one version serves, whole and in every mode, until the next one has all its vectors."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from rag_assets import Client
from rag_assets.db.spaces.spaces import get_live_space
from rag_assets.pipeline.audit import documents as audit
from rag_assets.pipeline.audit import vectors
from rag_assets.pipeline.audit.result import CheckResult
from rag_assets.pipeline.stages.live_space import roll_back
from rag_assets.pipeline.status import read_status
from rag_assets.settings.settings import Settings, load_settings
from tests.support.fakes import HashEncoder
from tests.support.pipeline.runs import rows
from tests.support.pipeline.served_versions import ServedVersions, write_version
from tests.support.pipeline.stages import Steps, write

STAGED = (
    "SELECT (SELECT count(*) FROM rag.staged_documents), (SELECT count(*) FROM rag.staged_chunkings), "
    "(SELECT count(*) FROM rag.staged_chunks)"
)


@pytest.fixture
def zoo(steps: Steps, folder: Path) -> Steps:
    """Documents a and b in version 1, live."""
    for name in ("ant", "bee"):
        write_version(folder, name, 1)
    steps.project("zoo", folder)
    steps.all("zoo")
    steps.live()
    return steps


@pytest.fixture
def served(zoo: Steps, settings: Settings) -> Iterator[ServedVersions]:
    with Client(settings, encoder=HashEncoder()) as client:
        yield ServedVersions(zoo.engine, client)


def live_checks(steps: Steps) -> dict[str, CheckResult]:
    with steps.engine.connect() as connection:
        space = get_live_space(connection)
    assert space is not None
    return {
        "chunks": audit.documents_have_chunks(steps.engine, space.chunking),
        "offsets": audit.offsets_reproduce_text(steps.engine, space.chunking),
        "vectors": vectors.texts_have_vectors(steps.engine, space),
        "orphans": vectors.no_orphan_vectors(steps.engine, space),
    }


def failed_checks(steps: Steps) -> list[str]:
    return [name for name, result in live_checks(steps).items() if not result.passed]


def test_the_old_version_serves_until_the_new_one_has_all_vectors(
    zoo: Steps, served: ServedVersions, folder: Path
) -> None:
    assert served.look({"ant": [1], "bee": [1]}) == []
    write_version(folder, "ant", 2)
    write_version(folder, "new", 1)
    assert zoo.documents("zoo")["updated"] == 1
    assert served.look({"ant": [1], "bee": [1], "new": [0]}) == []
    assert "chunks" in failed_checks(zoo)
    assert zoo.documents("zoo")["unchanged"] == 3
    written = zoo.chunks("zoo")
    assert written["inserted"] > 0 < written["deleted"]
    assert served.look({"ant": [1], "bee": [1], "new": [0]}) == []
    assert failed_checks(zoo) == ["vectors"]
    status = read_status(zoo.engine)
    [project] = status["projects"]
    assert (project["documents_to_chunk"], project["documents_waiting"]) == (0, 2)
    assert project["texts_to_embed"] == status["spaces"][0]["texts_left"] > 0
    # What searches should find is all there.
    assert status["degraded"] == []
    assert zoo.chunks("zoo")["inserted"] == 0
    zoo.embeddings("zoo")
    assert served.look({"ant": [2], "bee": [1], "new": [1]}) == []
    assert rows(zoo.engine, STAGED) == [(0, 0, 0)]
    zoo.index()
    assert failed_checks(zoo) == []


@pytest.mark.parametrize("stage", ["documents", "chunks"])
def test_an_edit_that_is_undone_leaves_nothing(zoo: Steps, served: ServedVersions, folder: Path, stage: str) -> None:
    zoo.encoders.clear()
    write_version(folder, "ant", 2)
    zoo.documents("zoo")
    if stage == "chunks":
        zoo.chunks("zoo")
    write_version(folder, "ant", 1, age_s=30)
    zoo.documents("zoo")
    assert rows(zoo.engine, STAGED) == [(0, 0, 0)]
    zoo.all("zoo")
    assert zoo.embedded == []
    assert served.look({"ant": [1], "bee": [1]}) == []


def test_an_edit_of_an_edit_replaces_what_waits(zoo: Steps, served: ServedVersions, folder: Path) -> None:
    for version in (2, 3, 4):
        write_version(folder, "ant", version)
        zoo.documents("zoo")
        if version != 3:
            zoo.chunks("zoo")
        assert served.look({"ant": [1]}) == []
    zoo.encoders.clear()
    zoo.embeddings("zoo")
    assert served.look({"ant": [4]}) == []
    assert not any("version2" in text or "version3" in text for text in zoo.embedded)


def test_known_texts_change_hands_when_they_are_split(zoo: Steps, served: ServedVersions, folder: Path) -> None:
    first = (folder / "ant.md").read_text()
    write_version(folder, "ant", 2)
    zoo.all("zoo")
    write(folder / "ant.md", first, age_s=20)
    write(folder / "bee.md", "# b 1\n\nversion1 part0 part1 part2 " + "b " * 10)
    rows_before = rows(zoo.engine, "SELECT count(*) FROM rag.embeddings")
    zoo.documents("zoo")
    assert served.look({"ant": [2]}) == []
    assert rows(zoo.engine, "SELECT count(*) FROM rag.embeddings") == rows_before


@pytest.mark.parametrize("removed", ["deleted", "emptied", "withheld"])
def test_what_is_taken_away_goes_at_once(zoo: Steps, served: ServedVersions, folder: Path, removed: str) -> None:
    write_version(folder, "ant", 2)
    zoo.documents("zoo")
    zoo.chunks("zoo")
    path = folder / "ant.md"
    if removed == "deleted":
        path.unlink()
    elif removed == "emptied":
        write(path, " \n", age_s=20)
    else:
        outside = write(folder.parent / "outside.md", "secret " * 20)
        path.unlink()
        path.symlink_to(outside)
    zoo.documents("zoo")
    assert served.look({"ant": [0], "bee": [1]}) == []
    assert rows(zoo.engine, STAGED) == [(0, 0, 0)]
    zoo.all("zoo")
    assert served.look({"ant": [0], "bee": [1]}) == []
    assert failed_checks(zoo) == []


def fail(text: str) -> Any:
    raise RuntimeError("the model is away")


def refuse_part_1(text: str) -> Any:
    if "version2 part1" in text:
        raise ValueError("refused")
    return None


@pytest.mark.parametrize("fault", [fail, refuse_part_1])
def test_a_model_that_fails_changes_nothing_and_one_that_refuses_a_text_does(
    zoo: Steps, served: ServedVersions, folder: Path, fault: Callable[[str], Any]
) -> None:
    write_version(folder, "ant", 2)
    zoo.encoders[1] = HashEncoder(fault=fault)
    zoo.all("zoo")
    if fault is fail:
        assert served.look({"ant": [1], "bee": [1]}) == []
        assert failed_checks(zoo) == ["vectors"]
        zoo.encoders.clear()
        zoo.all("zoo")
        assert served.look({"ant": [2], "bee": [1]}) == []
        return
    shown = rows(zoo.engine, "SELECT content FROM rag.live_chunks WHERE source = 'ant.md'")
    assert shown
    assert all("version2" in text and "part1" not in text for (text,) in shown)
    assert rows(zoo.engine, STAGED) == [(0, 0, 0)]
    assert failed_checks(zoo) == ["vectors"]


def test_a_failure_to_read_keeps_both_versions(zoo: Steps, served: ServedVersions, folder: Path) -> None:
    write_version(folder, "ant", 2)
    zoo.documents("zoo")
    broken = folder / "ant.md"
    broken.unlink()
    broken.mkdir()
    write(broken / "x", "")
    broken.rename(folder / "elsewhere")
    write(folder / "ant.md", b"\xff\xfe\x00" * 11, age_s=20)
    zoo.documents("zoo")
    zoo.chunks("zoo")
    assert served.look({"bee": [1]}) == []


def test_a_new_chunk_size_of_a_project_changes_hands_with_its_vectors(
    zoo: Steps, served: ServedVersions, folder: Path
) -> None:
    before = rows(zoo.engine, "SELECT count(*) FROM rag.live_chunks")
    zoo.project("zoo", folder, chunk_tokens=64)
    zoo.chunks("zoo")
    assert served.look({"ant": [1], "bee": [1]}) == []
    assert rows(zoo.engine, "SELECT count(*) FROM rag.live_chunks") == before
    # Undone before it was embedded.
    zoo.project("zoo", folder)
    zoo.chunks("zoo")
    assert rows(zoo.engine, STAGED) == [(0, 0, 0)]
    zoo.project("zoo", folder, chunk_tokens=64)
    zoo.all("zoo")
    assert served.look({"ant": [1], "bee": [1]}) == []
    assert rows(zoo.engine, "SELECT count(*) FROM rag.live_chunks")[0] > before[0]
    assert failed_checks(zoo) == []


def test_a_promotion_and_a_rollback_in_between_show_no_mixture(
    zoo: Steps, served: ServedVersions, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAG_ASSETS_CHUNK_TOKENS", "96")
    zoo.settings = load_settings()
    write_version(folder, "ant", 2)
    zoo.documents("zoo")
    zoo.chunks("zoo")
    assert served.look({"ant": [1], "bee": [1]}) == []
    live = zoo.encoders[1]
    live.fault = fail
    # The new space is complete, the live one never gets the new version.
    zoo.embeddings("zoo")
    assert served.look({"ant": [1], "bee": [1]}) == []
    zoo.index()
    assert zoo.live()["promoted"]
    with Client(zoo.settings, encoder=HashEncoder()) as client:
        after = ServedVersions(zoo.engine, client)
        # The space that is now the previous one, whose model is away, holds nothing back.
        assert after.look({"ant": [2], "bee": [1]}) == []
        live.fault = None
        write_version(folder, "bee", 2)
        zoo.all("zoo")
        assert after.look({"ant": [2], "bee": [2]}) == []
        roll_back(zoo.engine)
        assert after.look({"ant": [2], "bee": [2]}) == []


def test_deleting_rows_by_hand_heals(zoo: Steps, served: ServedVersions, folder: Path) -> None:
    write_version(folder, "ant", 2)
    zoo.documents("zoo")
    zoo.chunks("zoo")
    with zoo.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM rag.staged_chunks WHERE chunk_index = 0")
    zoo.embeddings("zoo")
    assert served.look({"ant": [1]}) == []
    zoo.chunks("zoo")
    zoo.embeddings("zoo")
    assert served.look({"ant": [2]}) == []
    write_version(folder, "ant", 3)
    zoo.documents("zoo")
    zoo.chunks("zoo")
    with zoo.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM rag.staged_documents")
    zoo.embeddings("zoo")
    assert served.look({"ant": [2]}) == []
    zoo.all("zoo")
    assert served.look({"ant": [3]}) == []


def test_staged(engine: Engine) -> None:
    assert rows(engine, STAGED) == [(0, 0, 0)]
