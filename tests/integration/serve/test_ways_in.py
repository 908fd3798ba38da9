"""Every way in, in every mode, for several principals: exactly the documents that the principal may read are seen."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import text

from rag_assets import Client
from rag_assets.db.access.roles import READER_ROLE, apply_roles
from rag_assets.db.access.viewer import Viewer
from rag_assets.db.connections.engines import make_engine
from rag_assets.serve.access.principal import Principal
from rag_assets.testing import HashEncoder
from tests.integration.serve.conftest import Asker
from tests.integration.serve.test_agents import agent
from tests.support.database.database_server import DatabaseServer
from tests.support.installation.installations import install

MODES = ("vector", "text", "hybrid")
QUERY = {"query": "zebra", "k": 500, "distinct": False}
# Documents by the names of their readers; the other documents have none.
READERS = {"page01.md": ["group:staff"], "page02.md": ["user:anna"], "page03.md": ["everyone"], "page04.md": []}
PRINCIPALS: dict[str, dict[str, Any]] = {
    "nobody in particular": {},
    "one project": {"projects": ["zoo"]},
    "one group": {"groups": ["staff"]},
    "one user of one project": {"user": "anna", "projects": ["sea"]},
    "another tenant": {"tenant": "rival"},
}


def expected(everything: set[str], principal: dict[str, Any]) -> set[str]:
    """The filter in Python."""
    mine = {"everyone", *(f"group:{name}" for name in principal.get("groups", ()))}
    mine |= {f"{kind}:{principal[kind]}" for kind in ("user", "tenant") if kind in principal}
    return {
        name
        for name in everything
        for project, _, path in [name.partition("/")]
        if (path not in READERS or mine & set(READERS[path])) and project in principal.get("projects", ("sea", "zoo"))
    }


@pytest.fixture(scope="module")
def shared(databases: DatabaseServer, built_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asker]:
    with pytest.MonkeyPatch.context() as monkeypatch, databases.copy(built_template) as url:
        install(url, tmp_path_factory.mktemp("ways"), monkeypatch)
        engine = make_engine(url)
        with engine.begin() as connection:
            apply_roles(connection)
            for path, readers in READERS.items():
                connection.execute(
                    text("UPDATE rag.documents SET readers = :readers WHERE file_path = :path"),
                    {"readers": readers, "path": path},
                )
        asker = Asker(engine, audit="off")
        yield asker
        asker.close()
        engine.dispose()


def viewer_of(asker: Asker, principal: dict[str, Any]) -> Viewer:
    ids = [asker.runner.run(asker.client.projects.get(name)).id for name in principal.get("projects", ())]
    return Viewer(**principal | {"projects": ids or None})


def by_http(asker: Asker, principal: dict[str, Any], mode: str) -> set[str]:
    name = f"{principal} {mode}"
    hits = asker.post("/v1/search", QUERY | {"mode": mode}, asker.key(name, **principal)).json()["hits"]
    return {f"{hit['project']}/{hit['file_path']}" for hit in hits}


def by_agent(asker: Asker, principal: dict[str, Any], mode: str) -> set[str]:
    projects = {name: asker.runner.run(asker.client.projects.get(name)).id for name in principal.get("projects", ())}
    asking = Principal("1", "agent", **principal | {"projects": projects or None})
    arguments = {"query": QUERY["query"], "mode": mode, "k": 100}

    async def ask() -> set[str]:
        async with agent(asker, asking) as client:
            found = await client.call_tool("search", arguments)
            hits = [hit["citation"] for hit in found.structured_content["hits"]]
            assert hits
            listed = {resource.name for resource in (await client.list_resources()).resources}
        # An agent gets 100 hits at most, and no copies.
        assert {f"{hit['project']}/{hit['file_path']}" for hit in hits} <= listed
        return {name for name in listed if not name.endswith("blank.txt")}

    return asker.runner.run(ask())


def by_client(asker: Asker, principal: dict[str, Any], mode: str) -> set[str]:
    options = {name: value for name, value in QUERY.items() if name != "query"}
    with Client(asker.client.settings, encoder=HashEncoder(), principal=viewer_of(asker, principal)) as client:
        hits = client.search(QUERY["query"], **options | {"mode": mode}).hits
    return {f"{hit.project}/{hit.file_path}" for hit in hits}


def by_sql(asker: Asker, principal: dict[str, Any], _mode: str) -> set[str]:
    """As the reader, through the view."""
    with asker.engine.connect() as connection, connection.begin() as transaction:
        facts = {"facts": viewer_of(asker, principal).facts()}
        connection.execute(text("SELECT set_config('rag.viewer', rag.sign_viewer(CAST(:facts AS jsonb)), true)"), facts)
        connection.execute(text(f"SET LOCAL ROLE {READER_ROLE}"))
        found = set(connection.scalars(text("SELECT project || '/' || source FROM rag.readable_chunks")))
        transaction.rollback()
    return found


WAYS: dict[str, Callable[[Asker, dict[str, Any], str], set[str]]] = {
    "http": by_http,
    "mcp": by_agent,
    "client": by_client,
    "sql": by_sql,
}


@pytest.mark.parametrize("principal", PRINCIPALS)
@pytest.mark.parametrize("way", WAYS)
def test_each_way_shows_what_the_principal_may_read(shared: Asker, way: str, principal: str) -> None:
    with shared.engine.connect() as connection:
        chunks = text(
            "SELECT DISTINCT p.name || '/' || d.file_path FROM rag.document_chunks c "
            "JOIN rag.documents d ON d.id = c.document_id JOIN rag.projects p ON p.id = d.project_id"
        )
        everything = set(connection.scalars(chunks))
    wanted = expected(everything, PRINCIPALS[principal])
    assert 0 < len(wanted) < len(everything)
    for mode in MODES:
        seen = WAYS[way](shared, PRINCIPALS[principal], mode)
        assert seen <= wanted, mode
        assert {name for name in wanted if "page" in name} <= seen, mode
        # In mode text, documents without the word are not found.
        assert mode == "text" or seen == wanted, mode


def test_without_a_key_nothing_is_seen(shared: Asker) -> None:
    for path in ("/v1/search", "/v1/search/batch", "/v1/similar", "/mcp"):
        assert shared.post(path, QUERY, None).status_code == 401
