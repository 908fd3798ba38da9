"""Tools and resources for agents, by the SDK's client without a socket."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from mcp import Client, MCPError
from sqlalchemy import Engine, text

from rag_assets.serve.access.authentication import OWNER
from rag_assets.serve.access.principal import Principal
from rag_assets.serve.agents.mcp_server import AgentTools, make_mcp_server
from rag_assets.serve.core.knowledge import Knowledge
from rag_assets.serve.http.admission import Admission
from rag_assets.serve.http.gate import GateLimits
from tests.integration.serve.conftest import Asker
from tests.integration.serve.test_http import running_searches

SHARED = "The keeper feeds the whale every morning before the storm."


def agent(asker: Asker, principal: Principal = OWNER, **options: Any) -> Client:
    limits = GateLimits.of(asker.client.settings)
    admission = Admission(running=4, queue=4, per_caller=4)
    options = {"project_tools": False} | options
    tools = AgentTools(Knowledge(asker.client), admission, limits, lambda _: principal, **options)
    return Client(make_mcp_server(tools, "1"))


def test_tools_return_text_and_citations(asker: Asker) -> None:
    async def use() -> None:
        async with agent(asker) as client:
            tools = (await client.list_tools()).tools
            assert [tool.name for tool in tools] == ["search", "similar", "get_document", "list_projects"]
            assert all(tool.input_schema["type"] == "object" and tool.output_schema for tool in tools)
            found = await client.call_tool("search", {"query": SHARED, "project": "zoo", "k": 1})
            [hit] = found.structured_content["hits"]
            assert hit["text"] == SHARED
            citation = hit["citation"]
            assert {"page", "heading_path", "title"} <= citation.keys()
            assert {"degraded", "space", "excluded"} <= found.structured_content.keys()
            assert f"zoo/{citation['file_path']} [0:58]" in found.content[0].text
            part = {"document_id": citation["document_id"], "char_start": 4, "char_end": 10}
            assert (await client.call_tool("get_document", part)).content[0].text == "keeper"
            by_path = {"project": "zoo", "file_path": "copy.txt"}
            assert (await client.call_tool("get_document", by_path)).structured_content["text"].strip() == SHARED
            near = await client.call_tool("similar", {"chunk_id": citation["chunk_id"], "k": 2})
            assert len(near.structured_content["hits"]) == 2
            read = await client.read_resource(citation["uri"])
            assert read.contents[0].text.strip() == SHARED
            templates = (await client.list_resource_templates()).resource_templates
            assert templates[0].uri_template == "rag-assets://documents/{document_id}"

    asker.runner.run(use())


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("search", {}, "/query: field required"),
        ("search", {"query": "x", "k": "3"}, "/k: input should be a valid integer"),
        ("search", {"query": "x", "limit": 3}, "/limit: extra inputs"),
        ("search", {"query": " "}, "the query is empty"),
        ("search", {"query": "x", "project": "none"}, "there is no project 'none'"),
        ("similar", {"chunk_id": "x"}, "/chunk_id: input should be a valid UUID"),
        ("similar", {"chunk_id": str(uuid4())}, "there is no chunk"),
        ("get_document", {}, "give document_id, or project and file_path"),
        ("get_document", {"project": "zoo", "file_path": "../../etc/passwd"}, "there is no document"),
    ],
)
def test_wrong_arguments_are_an_error_of_one_sentence(
    shared_asker: Asker, tool: str, arguments: dict[str, Any], said: str
) -> None:
    async def call() -> Any:
        async with agent(shared_asker) as client:
            return await client.call_tool(tool, arguments)

    found = shared_asker.runner.run(call())
    assert (found.is_error, found.structured_content) == (True, None)
    assert said in found.content[0].text
    assert "\n" not in found.content[0].text


def test_an_agent_sees_only_what_its_principal_may_read(asker: Asker) -> None:
    zoo = asker.runner.run(asker.client.projects.get("zoo"))
    principal = Principal("1", "zoo", projects={"zoo": zoo.id})
    hidden = asker.post("/v1/search", {"query": SHARED, "project": "sea", "k": 1}).json()["hits"][0]

    async def use() -> None:
        async with agent(asker, principal, project_tools=True) as client:
            names = [tool.name for tool in (await client.list_tools()).tools]
            assert [name for name in names if name.startswith("search_")] == ["search_zoo"]
            found = await client.call_tool("search_zoo", {"query": SHARED, "k": 50})
            assert {hit["citation"]["project"] for hit in found.structured_content["hits"]} == {"zoo"}
            with pytest.raises(MCPError, match="there is no tool 'search_sea'"):
                await client.call_tool("search_sea", {"query": SHARED})
            resources = (await client.list_resources()).resources
            assert {resource.name.partition("/")[0] for resource in resources} == {"zoo"}
            for uri in (f"rag-assets://documents/{hidden['document_id']}", "file:///etc/passwd"):
                with pytest.raises(MCPError, match="no document"):
                    await client.read_resource(uri)
            refused = await client.call_tool("similar", {"chunk_id": hidden["chunk_id"]})
            assert refused.is_error

    asker.runner.run(use())


def test_a_cancelled_call_cancels_its_statement(asker: Asker, built: Engine) -> None:
    def count() -> int:
        with built.connect() as connection:
            return running_searches(connection)

    async def cancel() -> None:
        async with agent(asker) as client:
            call = asyncio.create_task(client.call_tool("search", {"query": "whale", "mode": "text"}))
            while not await asyncio.to_thread(count):
                await asyncio.sleep(0.02)
            call.cancel()
            async with asyncio.timeout(5):
                while await asyncio.to_thread(count):
                    await asyncio.sleep(0.02)

    asker.post("/v1/search", {"query": "whale", "mode": "text"})
    with built.begin() as connection:
        connection.execute(text("LOCK TABLE rag.documents IN ACCESS EXCLUSIVE MODE"))
        asker.runner.run(cancel())
