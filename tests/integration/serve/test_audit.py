"""The audit: what is recorded, that no answer waits for it, and what becomes of it."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from rag_assets import Client, UsageError
from rag_assets.db.schema import migrations
from rag_assets.repositories.audit import writer as writing
from rag_assets.repositories.audit.entries import AuditedRequest, delete_old_entries, list_entries, write_entries
from rag_assets.repositories.audit.writer import AuditWriter
from rag_assets.testing import HashEncoder
from tests.integration.serve.conftest import Asker
from tests.support.installation.command_line import Cli, cli

__all__ = ["cli"]

QUERY = "keeper whale"


def entries(engine: Engine, number: int) -> list[dict[str, Any]]:
    """The oldest entries first, once so many are there."""
    until = time.monotonic() + 10
    while True:
        with engine.connect() as connection:
            found = list_entries(connection, limit=100)[::-1]
        if len(found) >= number or time.monotonic() > until:
            return found
        time.sleep(0.05)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "EVERY_S", 0.05)


@pytest.mark.usefixtures("quick")
def test_requests_are_recorded_without_their_questions(limited: Callable[..., Asker]) -> None:
    asker = limited(audit="serve")
    key = asker.key("reader", projects=["zoo"], user="anna")
    body = {"query": QUERY, "k": 3, "mode": "text", "project": "zoo"}
    hits = asker.post("/v1/search", body, key).json()["hits"]
    asker.post("/v1/search/batch", {"queries": ["whale", "storm"]}, key)
    asker.get(f"/v1/documents/{hits[0]['document_id']}", key)
    asker.post("/v1/search", {"query": QUERY, "project": "sea"}, key)
    found = entries(asker.engine, 5)
    assert [one["operation"] for one in found] == ["search", "search", "search", "document", "search"]
    first = found[0]
    assert (first["via"], first["caller"], first["user_name"], first["mode"]) == ("http", "reader", "anna", "text")
    assert (first["k"], first["hits"], first["projects"], first["outcome"]) == (3, len(hits), ["zoo"], "ok")
    assert list(map(str, first["documents"])) == list(dict.fromkeys(hit["document_id"] for hit in hits))
    assert first["duration_ms"] > 0
    assert {one["query"] for one in found} == {None}
    assert found[4]["outcome"] == "NotFoundError"
    assert "No new upgrade operations" in migrations.check(asker.engine)


@pytest.mark.usefixtures("quick")
def test_nothing_is_recorded_where_the_audit_is_off(limited: Callable[..., Asker]) -> None:
    asker = limited(audit="off")
    asker.post("/v1/search", {"query": QUERY, "mode": "text"})
    time.sleep(0.2)
    assert entries(asker.engine, 0) == []


@pytest.mark.usefixtures("quick")
def test_no_answer_waits_for_the_audit_and_what_is_lost_is_said(
    built: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    writer = AuditWriter(lambda: built, queue=3)
    with built.begin() as connection:
        write_entries(connection, [AuditedRequest("http", "search", "1", "reader")])
        connection.execute(text("LOCK TABLE rag.audit_entries IN ACCESS EXCLUSIVE MODE"))
        started = time.monotonic()
        for _ in range(10):
            writer.record(AuditedRequest("http", "search", "1", "reader"))
        assert time.monotonic() - started < 0.5
        assert writer.dropped >= 4
    writer.record(AuditedRequest("http", "search", "1", "last"))
    writer.close()
    found = entries(built, 5)
    lost = [one for one in found if one["operation"] == "dropped"]
    assert sum(one["hits"] for one in lost) == writer.dropped
    assert len(found) - len(lost) == 12 - writer.dropped
    assert "were dropped" in caplog.text


def test_old_entries_go_with_their_partitions(built: Engine) -> None:
    now = datetime.now(UTC)
    with built.begin() as connection:
        old = [
            AuditedRequest("http", "search", "1", "reader", asked_at=now - timedelta(days=days))
            for days in (0, 20, 40, 400)
        ]
        write_entries(connection, old)
        dropped = delete_old_entries(connection, 30)
        assert f"audit_entries_{now - timedelta(days=400):%Y%m}" in dropped
        assert sorted((now - one["asked_at"]).days for one in list_entries(connection, limit=9)) == [0, 20]


@pytest.mark.usefixtures("quick")
def test_questions_become_evaluation_queries(limited: Callable[..., Asker], cli: Cli, tmp_path: Path) -> None:
    asker = limited(audit_queries=True)
    body = {"query": QUERY, "mode": "text", "project": "zoo", "k": 5}
    hits = asker.post("/v1/search", body).json()["hits"]
    asker.get(f"/v1/documents/{hits[1]['document_id']}")
    asker.post("/v1/search", body | {"query": QUERY.upper()})
    asker.post("/v1/search", body | {"query": "storm"})
    assert len(entries(asker.engine, 4)) == 4
    file = tmp_path / "asked.jsonl"
    assert "1 question written, 1 question left out" in cli("audit", "questions", str(file), "--project", "zoo").err
    [line] = map(json.loads, file.read_text().splitlines())
    assert (line["query"].lower(), line["asked"], line["relevant"][hits[1]["file_path"]]) == (QUERY, 2, 1)
    assert sum(line["relevant"].values()) == 1
    assert "1 evaluation query" in cli("evaluate", str(file), "--project", "zoo", "--mode", "text").out
    everything = cli("audit", "questions", "-", "--unjudged").out.splitlines()
    assert {json.loads(one)["query"].lower() for one in everything} == {QUERY, "storm"}
    listed = cli("audit", "list", "--json").json["entries"]
    assert [one["operation"] for one in listed] == ["search", "search", "document", "search"]
    assert "document" in cli("audit", "list", "--days", "1").out


def test_an_empty_audit_says_what_to_set(built: Engine, cli: Cli) -> None:
    assert "RAG_ASSETS_AUDIT_QUERIES" in cli("audit", "questions", "-").error(2)


@pytest.mark.usefixtures("quick")
def test_forgetting_reaches_the_audit(limited: Callable[..., Asker], cli: Cli) -> None:
    asker = limited()
    key = asker.key("annas", user="anna")
    hit = asker.post("/v1/search", {"query": QUERY, "mode": "text", "project": "zoo", "k": 2}, key).json()["hits"][0]
    assert len(entries(asker.engine, 1)) == 1
    name = f"zoo/{hit['file_path']}"
    [report] = cli("forget", "--document", name, "--json").json["forgotten"]
    assert report["tables"]["audit_entries"] == {"before": 1, "removed": 1, "after": 0}
    [report] = cli("forget", "--user", "anna", "--json").json["forgotten"]
    assert report["tables"]["audit_entries"]["removed"] == 1
    assert entries(asker.engine, 0) == []


@pytest.mark.usefixtures("quick")
def test_a_client_is_audited_where_a_setting_says_so_and_the_server_once(limited: Callable[..., Asker]) -> None:
    asker = limited(audit="all")
    asker.post("/v1/search/batch", {"queries": ["whale", "storm"], "mode": "text"})
    found = entries(asker.engine, 2)
    time.sleep(0.2)
    assert [one["via"] for one in found] == ["http", "http"]
    settings = asker.client.settings
    with Client(settings, encoder=HashEncoder(), principal=None) as client:
        client.search("whale", mode="text", k=2)
        with pytest.raises(UsageError):
            client.search("whale", project="none")
    found = entries(asker.engine, 4)
    assert [(one["via"], one["outcome"]) for one in found[2:]] == [("client", "ok"), ("client", "NotFoundError")]
