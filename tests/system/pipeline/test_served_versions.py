"""A reader beside ingests that are slow, fail and are killed: each document is there in one version, whole."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine

from rag_assets import Client
from rag_assets.settings.settings import Settings
from tests.support.fakes import ENCODERS, HashEncoder
from tests.support.pipeline.crashes import ChildRun, materialize, start_forker
from tests.support.pipeline.runs import add_project, errors, rows
from tests.support.pipeline.served_versions import ServedVersions, write_version

NAMES = ("ant", "bee", "cow", "dog")
SAMPLE_S = 0.02
# Where each ingest is killed: (pattern of a statement, which one, moment).
KILLS = (
    (r"INSERT INTO rag\.staged_documents ", 1, "committed"),
    (r"INSERT INTO rag\.staged_chunks ", 1, "committed"),
    (r"INSERT INTO rag\.embeddings_\d+ ", 3, "committed"),
    (r"UPDATE rag\.documents SET .*staged_documents", 1, "after"),
    (r"UPDATE rag\.documents SET .*staged_documents", 1, "committed"),
)


@contextmanager
def reading(served: ServedVersions, newest: dict[str, int]) -> Iterator[list[str]]:
    """Look at all documents every 20 ms; yields what was wrong."""
    wrong: list[str] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            started = time.monotonic()
            # Not there, until its first version is.
            allowed = {
                name: [0, *range(1, last + 1)] if name == "new" else [*range(1, last + 1)]
                for name, last in newest.items()
            }
            try:
                wrong.extend(served.look(allowed))
            except Exception as error:
                wrong.append(repr(error))
            stop.wait(max(0.0, SAMPLE_S - (time.monotonic() - started)))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield wrong
    finally:
        stop.set()
        reader.join()


def test_a_reader_finds_each_document_whole_in_one_version_through_kills_and_a_failing_model(
    settings: Settings, engine: Engine, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Small batches: a document gets its vectors in several.
    monkeypatch.setenv("RAG_ASSETS_BATCH_TOKENS", "600")
    ENCODERS.clear()
    newest = dict.fromkeys(NAMES, 1)
    for name in NAMES:
        write_version(folder, name, 1)
    add_project(engine, "zoo", folder)
    assert errors(materialize("zoo", "all")) == []
    names = ("RAG_ASSETS_STATE_DIR", "RAG_ASSETS_DATABASE_URL", "DAGSTER_HOME", "RAG_ASSETS_BATCH_TOKENS")
    env = {name: os.environ[name] for name in names}
    log = str(tmp_path / "embedded.log")
    with start_forker() as children, Client(settings, encoder=HashEncoder()) as client:
        served = ServedVersions(engine, client)
        with reading(served, newest) as wrong:
            for number, (pattern, nth, moment) in enumerate(KILLS):
                version = 2 + number
                for name in (NAMES[number % 4], NAMES[(number + 1) % 4], "new"):
                    newest[name] = version
                    write_version(folder, name, version)
                killed = ChildRun("zoo", env, log, pattern, nth, moment, encode_s=0.05)
                (ended,) = children.run(killed)
                assert ended.killed, (pattern, ended)
            for name in NAMES:
                newest[name] = 9
                write_version(folder, name, 9)
            away = ChildRun("zoo", env, log, refused=".")
            children.run(away)
            assert rows(engine, "SELECT count(*) FROM rag.staged_documents") == [(len(NAMES),)]
            (ended,) = children.run(ChildRun("zoo", env, log, encode_s=0.05))
            assert ended.errors == []
        assert wrong == []
        assert served.look({name: [version] for name, version in newest.items()}) == []
    assert served.samples > 50
    for name, seen in served.seen.items():
        assert seen == sorted(seen), f"{name} went back to an earlier version"
        assert seen[-1] == newest[name]
