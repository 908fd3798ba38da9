"""Projects with shards: the same rows for any number of them, and nothing embedded twice."""

from collections import Counter
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import Engine, select

from rag_assets.db.locks import hold_lock
from rag_assets.db.models import Document
from rag_assets.db.spaces.shards import explicit_keys, path_position
from rag_assets.documents.shards import Shard, position_of, shard_keys
from rag_assets.documents.sources import open_source
from rag_assets.errors import BusyError, IntegrityError, UsageError
from rag_assets.orchestration.partitions import projects
from rag_assets.pipeline.refresh import refresh_documents
from rag_assets.pipeline.repair.survey_documents import survey_chunks, survey_documents
from rag_assets.pipeline.stages.documents import listing
from rag_assets.pipeline.stages.project_isolation import load_project
from rag_assets.pipeline.target.wanted_space import current_space
from rag_assets.projects.failures import list_failures, record_failure, record_success
from rag_assets.projects.store import partition_keys
from rag_assets.settings.settings import Settings
from tests.integration.pipeline.stages.test_attachments import mail
from tests.support.database.damages import pipeline_tables
from tests.support.pipeline.check_runs import change_database
from tests.support.pipeline.runs import add_project, errors, failed_checks, rows, run
from tests.support.pipeline.stages import Steps, write, write_batches

FILES = 12


@pytest.fixture
def zoo(folder: Path) -> Path:
    for number in range(FILES - 1):
        write(folder / f"part{number % 3}" / f"d{number}.md", f"# Page {number}\n\nThe animal {number} eats grass.\n")
    write(folder / "post" / "m.eml", mail(("a.md", "# A\n\nThe first.\n"), ("b.md", "# B\n\nThe second.\n")))
    return folder


def stages(steps: Steps, shards: int) -> tuple[Counter[str], int]:
    """Refresh each shard by itself, as parallel runs do; the figures of the documents, and the texts embedded."""
    figures: Counter[str] = Counter()
    before = len(steps.embedded)
    for key in shard_keys("zoo", shards):
        figures += steps.documents(key)
        steps.chunks(key)
        steps.embeddings(key)
    steps.index()
    steps.live()
    return figures, len(steps.embedded) - before


def test_another_number_of_shards_changes_no_row_and_embeds_nothing(
    steps: Steps, zoo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(zoo / ".access.yaml", "'part0/**': group:board")
    steps.project("zoo", zoo)
    assert stages(steps, 1)[1] > 0
    tables = pipeline_tables(steps.engine)
    assert len(tables["documents"]) == FILES + 2
    # Slices of a shard are read one after the other.
    monkeypatch.setattr(listing, "SLICE_FILES", 2)
    for shards in (4, 3):
        steps.project("zoo", zoo, shards=shards)
        figures, embedded = stages(steps, shards)
        assert (figures["seen"], figures["unchanged"], figures["deleted"], embedded) == (FILES + 2, FILES + 2, 0, 0)
        assert pipeline_tables(steps.engine) == tables, shards
        assert rows(steps.engine, "SELECT count(*) FROM rag.source_listings") == [(0,)]
    with steps.engine.connect() as connection:
        positions = connection.execute(select(Document.file_path, path_position(Document.file_path))).all()
    assert all(position_of(path) == position for path, position in positions)

    # A survey looks at all shards.
    space = current_space(steps.engine, steps.target.definition)
    assert space is not None
    assert list(survey_documents(steps.engine, steps.settings, "zoo")) == []
    change_database(steps.engine, "UPDATE rag.document_chunks SET token_count = token_count + 1")
    [damage] = survey_chunks(steps.engine, steps.settings, "zoo", space)
    assert damage.rows == FILES + 2

    # Only the shard that has a document sees what happened to it.
    path = "part0/d0.md"
    number = next(n for n in (1, 2, 3) if position_of(path) in Shard(n, 3).positions)
    write(zoo / path, "# Page 0\n\nAnother animal.\n", age_s=30)
    found = [steps.documents(key)["updated"] for key in shard_keys("zoo", 3)]
    assert found == [int(n == number) for n in (1, 2, 3)]
    (zoo / path).unlink()
    assert [steps.documents(key)["deleted"] for key in shard_keys("zoo", 3)] == found


def test_the_guard_is_over_the_project(steps: Steps, zoo: Path) -> None:
    steps.project("zoo", zoo, shards=4)
    for key in shard_keys("zoo", 4):
        steps.documents(key)
    shards: dict[int, list[str]] = {number: [] for number in range(1, 5)}
    for path in sorted(str(file.relative_to(zoo)) for file in zoo.rglob("*.*")):
        shards[next(n for n in shards if position_of(path) in Shard(n, 4).positions)].append(path)
    # All documents of the smallest shard are less than half of the project.
    number = min((n for n in shards if shards[n]), key=lambda n: len(shards[n]))
    kept = {path: (zoo / path).read_bytes() for path in shards[number]}
    for path in kept:
        (zoo / path).unlink()
    key = shard_keys("zoo", 4)[number - 1]
    assert steps.documents(key)["deleted"] >= len(kept)
    for path, content in kept.items():
        write(zoo / path, content)
    steps.documents(key)
    # More than half of the project is gone, and of one shard a single document.
    gone = [path for n, paths in shards.items() for path in (paths[:1] if n == number else paths)]
    for path in gone:
        (zoo / path).unlink()
    for key in shard_keys("zoo", 4):
        with pytest.raises(IntegrityError, match=f"{len(gone)} of the {FILES} documents of project zoo"):
            load_and_read(steps, key)
    assert steps.documents(key, confirm_deletions=True)["deleted"] > 0


def load_and_read(steps: Steps, key: str) -> None:
    for batch in refresh_documents(steps.engine, steps.settings, [key]):
        if hasattr(batch, "error"):
            raise batch.error


def test_shards_of_one_run_list_once_and_go_on_where_a_listing_ended(
    steps: Steps, zoo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps.project("zoo", zoo, shards=2)
    listed: list[str] = []
    list_part = listing.list_part

    def count_parts(source: Any, part: str) -> Any:
        listed.append(part)
        if part == "part2/*" and listed.count(part) == 1:
            raise KeyboardInterrupt
        return list_part(source, part)

    monkeypatch.setattr(listing, "list_part", count_parts)
    with pytest.raises(KeyboardInterrupt):
        list(refresh_documents(steps.engine, steps.settings, ["zoo"], backfill="b"))
    assert listed == ["*", "part0/*", "part1/*", "part2/*"]
    batches = refresh_documents(steps.engine, steps.settings, ["zoo", "zoo:02of02"], backfill="b")
    assert write_batches(steps.engine, batches)["inserted"] == FILES + 2
    assert listed[4:] == ["part2/*", "post/*"]
    for table in ("source_listings", "listing_parts", "listed_files"):
        assert rows(steps.engine, f"SELECT count(*) FROM rag.{table}") == [(0,)], "nothing stays"


def test_a_job_over_all_shards_checks_and_serves_the_project(settings: Settings, engine: Engine, zoo: Path) -> None:
    add_project(engine, "zoo", zoo, shards=3)
    instance = dg.DagsterInstance.get()
    keys = shard_keys("zoo", 3)
    instance.add_dynamic_partitions(str(projects.name), keys)
    result = run(keys=keys)
    assert errors(result) == []
    assert failed_checks(result) == {}
    assert rows(engine, "SELECT count(DISTINCT source) FROM rag.live_chunks") == [(FILES + 2,)]
    [(refreshed,)] = rows(engine, "SELECT refreshed_at IS NOT NULL FROM rag.projects")
    assert refreshed
    counts = {
        event.partition: event.materialization.metadata["dagster/partition_row_count"].value
        for event in result.get_asset_materialization_events()
        if event.asset_key == dg.AssetKey("raw_documents")
    }
    assert counts.keys() == set(keys)
    assert sum(counts.values()) == FILES + 2
    # A run of one shard answers for its shard: another one that is not split yet does not fail it.
    [(other,)] = rows(engine, "SELECT file_path FROM rag.documents ORDER BY file_path LIMIT 1")
    number = next(n for n in (1, 2, 3) if position_of(other) in Shard(n, 3).positions)
    write(zoo / other, "# Changed\n\nAnother text.\n", age_s=30)
    assert errors(run(key=keys[number - 1], only=["raw_documents"])) == []
    result = run(key=keys[number % 3])
    assert errors(result) == []
    assert failed_checks(result) == {}


def test_locks_failures_and_keys_of_shards(steps: Steps, zoo: Path) -> None:
    engine = steps.engine
    steps.project("zoo", zoo, shards=16)
    with engine.connect() as connection:
        assert partition_keys(connection) == shard_keys("zoo", 16)
        assert explicit_keys(connection, ["zoo", "zoo:02of16", "ark"]) == ["zoo:01of16", "zoo:02of16", "ark"]
    with pytest.raises(UsageError, match="zoo:02of04 is no shard of project zoo, which has 16 of them"):
        load_project(engine, "zoo:02of04")
    with hold_lock(engine, "x", wait_s=0, shard=Shard(1, 4)), hold_lock(engine, "x", wait_s=0, shard=Shard(2, 4)):
        for shard in (Shard(), Shard(1, 4), Shard(1, 3)):
            with pytest.raises(BusyError), hold_lock(engine, "x", wait_s=0, shard=shard):
                pass
    with engine.begin() as connection:
        for key in ("zoo", "zoo:02of16", "zoo:02of04"):
            record_failure(connection, key, "chunks", "why", "run")
        record_success(connection, ["zoo:03of16"], "chunks")
        assert [failure.key for failure in list_failures(connection)] == ["zoo", "zoo:02of16"]
        record_success(connection, shard_keys("zoo", 16)[:15], "raw_documents")
        assert [failure.key for failure in list_failures(connection)] == ["zoo", "zoo:02of16"]
    read = "SELECT refreshed_at IS NOT NULL FROM rag.projects"
    assert rows(engine, read) == [(False,)], "one shard was not read yet"
    with engine.begin() as connection:
        record_success(connection, ["zoo:16of16"], "raw_documents")
    assert rows(engine, read) == [(True,)]


def test_parts_have_each_file_once(zoo: Path) -> None:
    from rag_assets.documents.sources.base import list_part, listing_parts

    write(zoo / ".access.yaml", "'part0/**': group:board")
    write(zoo / "part1" / ".access.yaml", "'*.md': everyone")
    for uri in (str(zoo), f"simplecache::file://{zoo}"):
        source = open_source(uri)
        parts = listing_parts(source)
        found = [file for part in parts for file in list_part(source, part)]
        assert sorted(found, key=lambda file: file.path) == list(open_source(uri).list()), uri
        assert {file.readers for file in found} == {None, ("group:board",), ("everyone",)}, uri
        assert len(parts) == 5, uri
