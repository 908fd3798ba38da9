"""The front door: one client for search and for what an application stores, with and without an event loop."""

import asyncio
import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, Engine, text

from rag_assets import AsyncClient, Client, RefusedError, ServiceError, Settings, UsageError
from rag_assets.repositories import NewMessage
from rag_assets.testing import HashEncoder, temporary_database

SHARED = "The keeper feeds the whale every morning before the storm."


@pytest.fixture
def client(built: Engine) -> Iterator[Client]:
    with Client(encoder=HashEncoder()) as client:
        yield client


def test_it_searches_the_database_of_the_environment(client: Client) -> None:
    answer = client.search(SHARED, k=3, project="zoo")
    assert answer.hits[0].text == SHARED
    assert {hit.project for hit in answer.hits} == {"zoo"}
    again = client.search_many([SHARED, "whale"], k=3, project="zoo")
    assert [hit.chunk_id for hit in again[0].hits] == [hit.chunk_id for hit in answer.hits]
    near = client.similar(answer.hits[0].chunk_id, k=2)
    assert answer.hits[0].chunk_id not in {hit.chunk_id for hit in near.hits}
    assert client.explain(answer.hits[0].chunk_id).chunk_id == answer.hits[0].chunk_id
    assert client.aggregate(project="zoo").chunks > 0
    assert len(client.centroid(project="zoo")) == 384


def test_a_url_and_settings_lead_to_the_same_database(built: Engine) -> None:
    url = built.url.render_as_string(hide_password=False)
    found = []
    for given in (url, built.url, Settings(database_url=url), None):  # type: ignore[arg-type]
        with Client(given, encoder=HashEncoder()) as client:
            found.append([hit.chunk_id for hit in client.search("whale", k=5).hits])
    assert found[0]
    assert all(ids == found[0] for ids in found)


def test_evaluation_and_health_are_reported(client: Client, tmp_path: Path) -> None:
    file = tmp_path / "queries.jsonl"
    file.write_text(json.dumps({"query": SHARED, "relevant": {"copy.txt": 1}}) + "\n")
    report = client.evaluate(file, project="sea")
    assert report.evaluation.metrics["ndcg@10"] == 1
    assert [check.name for check in client.health()] == ["connect", "database", "extension", "schema", "index", "pool"]
    assert all(check.healthy for check in client.health())
    client.search("whale")
    assert client.pool_statistics()["read"].served > 0


def test_a_renamed_project_is_searched_under_its_new_name(client: Client) -> None:
    before = client.search(SHARED, project="zoo")
    project = client.projects.rename("zoo", "park")
    assert (project.name, project.id) == ("park", client.projects.get("park").id)
    after = client.search(SHARED, project="park")
    assert [hit.chunk_id for hit in after.hits] == [hit.chunk_id for hit in before.hits]
    for wrong, said in (("sea", "exists already"), ("Park 2", "cannot be a project's name")):
        with pytest.raises(UsageError, match=said):
            client.projects.rename("park", wrong)
    with pytest.raises(UsageError, match="there is no project 'zoo'"):
        client.search(SHARED, project="zoo")
    assert client.projects.create("zoo", "/docs").id != project.id


def test_whatever_the_database_answers_is_an_error_of_this_package(client: Client, built: Engine) -> None:
    client.search("whale")
    with built.begin() as connection:
        connection.execute(text("DROP TABLE rag.users CASCADE; ALTER TABLE rag.documents RENAME COLUMN title TO name"))
    with pytest.raises(RefusedError, match=r"something that a statement names is missing or differs: .*rag\.users"):
        client.users.find_by_email("a@b.c")
    with pytest.raises(RefusedError, match="title"):
        client.search(SHARED)
    with pytest.raises(RefusedError, match="title"):
        client.similar(document=("zoo", "copy.txt"))


def test_health_of_a_database_that_is_away_is_an_answer(tmp_path: Path) -> None:
    with Client("postgresql://ada:secret@127.0.0.1:1/none") as client:
        [connect] = client.health()
        assert not connect.healthy
        assert "secret" not in connect.detail + repr(client)
        with pytest.raises(ServiceError):
            client.search("whale")


def test_what_an_application_stores_is_read_back(database: URL) -> None:
    with Client(database) as client:
        ada = client.users.create("ada@example.com", display_name="Ada")
        talk = client.conversations.create("Storms", user_id=ada.id)
        client.messages.append(talk.id, NewMessage("user", "Is a storm near?"))
        assert [message.content for message in client.messages.history(talk.id)] == ["Is a storm near?"]
        client.memories.remember("Ada likes tea", user_id=ada.id)
        assert [memory.content for memory in client.memories.list_by_user(ada.id).items] == ["Ada likes tea"]
        assert client.projects.list_all() == []
    with pytest.raises(UsageError, match="closed"):
        client.users.get(ada.id)


def test_a_closed_client_is_refused_and_leaves_no_connection(built: Engine) -> None:
    client = Client(encoder=HashEncoder())
    client.search("whale")
    assert client.close() == 0
    with pytest.raises(UsageError, match="closed; make another one"):
        client.search("whale")
    with built.connect() as connection:
        others = connection.scalar(
            text(
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name LIKE 'rag_assets%' AND pid <> pg_backend_pid()"
            )
        )
    assert others == 0
    assert client.close() == 0


@pytest.mark.parametrize("wrong", [7, 1.5, ["postgresql://x"], b"postgresql://x"])
def test_what_is_no_settings_is_refused(wrong: Any) -> None:
    with pytest.raises(UsageError, match="a client takes a Settings, a database URL or nothing"):
        Client(wrong)
    with pytest.raises(UsageError, match="a client takes a Settings, a database URL or nothing"):
        AsyncClient(wrong)


def test_a_wrong_url_is_refused_without_its_password() -> None:
    with Client("mysql://ada:secret@db/none") as client, pytest.raises(UsageError) as refused:
        client.search("whale")
    assert "secret" not in str(refused.value)


def test_an_event_loop_gets_the_same_answers(built: Engine, client: Client, tmp_path: Path) -> None:
    file = tmp_path / "queries.jsonl"
    file.write_text(json.dumps({"query": SHARED, "relevant": {"copy.txt": 1}}) + "\n")

    async def ask() -> list[Any]:
        async with AsyncClient(encoder=HashEncoder()) as beside:
            answers = await asyncio.gather(*(beside.search("whale ocean", k=5) for _ in range(10)))
            assert len({tuple(hit.chunk_id for hit in answer.hits) for answer in answers}) == 1
            ada = await beside.users.create("ada@example.com", display_name="Ada")
            talk = await beside.conversations.create("Storms", user_id=ada.id)
            await beside.messages.append(talk.id, NewMessage("user", "Is a storm near?"))
            assert len(await beside.messages.history(talk.id)) == 1
            report = await beside.evaluate(file, project="sea")
            assert report.evaluation.metrics["ndcg@10"] == 1
            assert all(check.healthy for check in await beside.health())
            assert set(beside.pool_statistics()) == {"read", "write"}
        with pytest.raises(UsageError, match="closed"):
            await beside.search("whale")
        return [hit.chunk_id for hit in answers[0].hits]

    assert asyncio.run(ask()) == [hit.chunk_id for hit in client.search("whale ocean", k=5).hits]


def test_an_unopened_client_of_an_event_loop_says_how_to_open_it(settings: Settings) -> None:
    async def ask() -> None:
        await AsyncClient(settings).search("whale")

    with pytest.raises(UsageError, match="async with AsyncClient"):
        asyncio.run(ask())


def test_both_clients_have_the_same_methods_with_the_same_parameters() -> None:
    def public(kind: type) -> dict[str, Any]:
        return {
            name: str(inspect.signature(member)) if callable(member) else None
            for name, member in vars(kind).items()
            if not name.startswith("_")
        }

    ours, theirs = public(Client), public(AsyncClient)
    theirs.pop("open")
    assert ours == theirs


def test_a_temporary_database_is_new_and_gone_afterwards(server: URL) -> None:
    with temporary_database(server) as url:
        with Client(url) as client:
            client.users.create("ada@example.com", display_name="Ada")
        with temporary_database(server) as other, Client(other) as client:
            assert client.users.find_by_email("ada@example.com") is None
    with Client(url) as client, pytest.raises(ServiceError):
        client.users.find_by_email("ada@example.com")
