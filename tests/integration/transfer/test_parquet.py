"""Vectors through a Parquet file, from one database to another."""

import fcntl
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import URL, Engine

from rag_assets.db.connections.engines import make_engine
from rag_assets.settings.settings import load_settings
from rag_assets.transfer import export
from tests.support.data.corpus import PROJECTS
from tests.support.installation.command_line import Cli
from tests.support.pipeline.runs import rows
from tests.support.pipeline.stages import Steps

VECTORS = "SELECT count(*) FROM rag.embeddings"


@pytest.fixture
def exported(built: Engine, cli: Cli, tmp_path: Path) -> Path:
    """The vectors of the built database."""
    file = tmp_path / "vectors.parquet"
    result = cli("export", file, "--json")
    assert result.code == 0, result.err
    [(vectors,)] = rows(built, VECTORS)
    facts = {"file": str(file), "space": 1, "kind": "chunks", "dimensions": 384, "vectors": vectors, "resumed": 0}
    assert result.json.items() >= (facts | {"bytes": file.stat().st_size}).items()
    return file


def other_database(database: URL, monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setenv("RAG_ASSETS_DATABASE_URL", database.render_as_string(hide_password=False))
    return make_engine(database)


def test_a_new_database_embeds_nothing(
    exported: Path, built: Engine, database: URL, corpus_folders: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = pq.ParquetFile(exported)
    assert file.schema_arrow.names == ["content_hash", "text", "vector", "checksum"]
    first = file.read_row_group(0).slice(0, 1).to_pylist()[0]
    assert first["content_hash"] == hashlib.sha256(first["text"].encode()).digest()
    definition = json.loads(file.schema_arrow.metadata[b"rag_assets.space"])
    assert (definition["model"], definition["dimensions"]) == (load_settings().model, 384)
    [(vectors,)] = rows(built, VECTORS)

    engine = other_database(database, monkeypatch)
    result = cli("import", exported, "--json")
    assert result.code == 0, result.err
    assert (result.json["vectors"], result.json["new"], result.json["present"]) == (vectors, vectors, 0)
    again = cli("import", exported, "--json").json
    assert (again["new"], again["present"]) == (0, vectors)

    # One project after the other: what the first one does not use is kept for the second one.
    steps = Steps(engine, load_settings())
    for project in PROJECTS:
        steps.project(project, corpus_folders / project)
        assert steps.all(project)["embedded"] == 0
    assert steps.embedded == []
    differing = (
        "SELECT count(*) FROM rag.embeddings a JOIN rag.embeddings b USING (content_hash) "
        "WHERE a.space_id < b.space_id AND (a.embedding <> b.embedding OR abs(a.checksum - b.checksum) > 1e-4)"
    )
    assert rows(engine, differing) == [(0,)]
    wanted = [tuple(found) for found in rows(engine, "SELECT space_id, count(*) FROM rag.embeddings GROUP BY 1")]
    assert sorted(count for _, count in wanted) == [vectors, vectors]
    assert cli("import", exported, "--json").json["present"] == vectors
    assert f"{vectors} vectors" in cli("import", exported).out
    engine.dispose()


def rewrite(file: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    pq.write_table(change(pq.read_table(file)), file)


def with_row(column: str, value: Any) -> Callable[[pa.Table], pa.Table]:
    """The table with another value in its last row."""

    def change(table: pa.Table) -> pa.Table:
        at, field = table.column_names.index(column), table.schema.field(column)
        return table.set_column(at, field, pa.array([*table[column].to_pylist()[:-1], value], field.type))

    return change


def as_space(**facts: Any) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        space = json.loads(table.schema.metadata[b"rag_assets.space"]) | facts
        return table.replace_schema_metadata(table.schema.metadata | {b"rag_assets.space": json.dumps(space)})

    return change


@pytest.mark.parametrize(
    ("damage", "code", "message"),
    [
        (as_space(model="other/model"), 2, "its model is 'other/model', and the settings ask for"),
        (as_space(revision="0"), 2, "its revision is '0', and the settings ask for"),
        (as_space(normalize=False), 2, "set RAG_ASSETS_NORMALIZE to import it. Nothing was imported."),
        (as_space(prompts={"document": "p: "}), 2, "its document prompt is 'p: '"),
        (as_space(dimensions=3), 2, "has no column 'vector' of the type"),
        (as_space(kind="letters"), 2, "there are no texts of the kind 'letters'"),
        (as_space(colour="red"), 2, "a definition of a space that cannot be read"),
        (lambda table: table.replace_schema_metadata({}), 2, "does not say which space"),
        (lambda table: table.drop_columns("checksum"), 2, "has no column 'checksum'"),
        (with_row("text", "another text"), 1, "is damaged: its text does not have its hash"),
        (with_row("checksum", 0.5), 1, "is damaged: its vector does not have its checksum"),
        (with_row("vector", [0.0] * 384), 1, "is damaged: its vector does not have its checksum"),
    ],
)
def test_what_is_wrong_is_one_sentence_and_nothing_is_written(
    exported: Path,
    database: URL,
    cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
    damage: Callable[[pa.Table], pa.Table],
    code: int,
    message: str,
) -> None:
    engine = other_database(database, monkeypatch)
    rewrite(exported, damage)
    assert message in cli("import", exported).error(code)
    assert rows(engine, "SELECT count(*) FROM rag.embedding_spaces") == [(0,)]
    engine.dispose()


def test_a_truncated_file_and_another_one(exported: Path, cli: Cli, tmp_path: Path, built: Engine) -> None:
    content = exported.read_bytes()
    exported.write_bytes(content[: len(content) // 2])
    assert "is not a whole Parquet file, so it may be truncated" in cli("import", exported).error(2)
    middle = len(content) // 4
    exported.write_bytes(content[:middle] + bytes(200) + content[middle + 200 :])
    assert "Nothing was imported." in cli("import", exported).error(1)
    assert "there is no file" in cli("import", tmp_path / "other.parquet").error(2)
    assert "it is a folder" in cli("export", tmp_path).error(2)
    assert "there is no space 7 with vectors" in cli("export", exported, "--space", "7").error(2)
    assert rows(built, "SELECT count(*) FROM rag.embedding_spaces") == [(1,)]


def test_vectors_that_differ_from_those_of_the_database_are_refused(exported: Path, cli: Cli, built: Engine) -> None:
    with built.begin() as connection:
        connection.exec_driver_sql("UPDATE rag.embeddings SET checksum = checksum + 0.1")
    assert "has another vector for the text" in cli("import", exported).error(1)
    assert rows(built, "SELECT count(*) FROM rag.embedding_spaces") == [(1,)]


def test_an_interrupted_export_goes_on(
    exported: Path, cli: Cli, built: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(export, "PART_ROWS", 50)
    monkeypatch.setattr(export, "_PAGE_ROWS", 20)
    whole, file = pq.read_table(exported), tmp_path / "again.parquet"
    write, written = export._write_whole, []

    def interrupt(*arguments: Any) -> None:
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(arguments)
        write(*arguments)

    with monkeypatch.context() as interrupting:
        interrupting.setattr(export, "_write_whole", interrupt)
        assert cli("export", file).code == 130
    assert not file.exists()
    partial = tmp_path / "again.parquet.partial"
    with (partial / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "another export writes again.parquet" in cli("export", file).error(3)
    # A part of a file that was being written, and one of another space.
    (partial / "000002.parquet.new").write_bytes(b"PAR1")
    pq.write_table(as_space(model="other")(whole), partial / "000002.parquet")
    result = cli("export", file, "--json")
    assert result.json["resumed"] == 120
    found = pq.read_table(file)
    assert found.equals(whole)
    assert not partial.exists()
    assert f"{whole.num_rows} vectors of" in cli("export", file).out


def test_nothing_to_export(cli: Cli, settings: object) -> None:
    assert "no space of chunks is live" in cli("export", "vectors.parquet").error(3)
    assert "there are no texts of the kind" in cli("export", "vectors.parquet", "--kind", "x").error(2)
