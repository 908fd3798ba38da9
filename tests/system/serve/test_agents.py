"""Agents over both transports, by the SDK's client and by another one."""

import asyncio
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from httpx2 import AsyncClient
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from sqlalchemy import Engine, text

from tests.support.installation.server_process import COMMAND
from tests.support.paths import ROOT
from tests.system.serve.conftest import ServedInstallation

QUERY = {"query": "keeper whale", "mode": "text", "k": 2}
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


async def use(client: Client, engine: Engine) -> None:
    """A search, a wrong call, and a call that is cancelled while it waits for a lock."""
    found = await client.call_tool("search", QUERY)
    assert len(found.structured_content["hits"]) == 2
    assert (await client.call_tool("search", {"query": ""})).is_error
    with pytest.raises(MCPError, match="there is no tool"):
        await client.call_tool("nothing", {})
    uri = found.structured_content["hits"][0]["citation"]["uri"]
    assert (await client.read_resource(uri)).contents[0].text
    with engine.begin() as connection:
        connection.execute(text("LOCK TABLE rag.documents IN ACCESS EXCLUSIVE MODE"))
        call = asyncio.create_task(client.call_tool("search", QUERY))
        await wait_for_searches(engine, 1)
        call.cancel()
        await wait_for_searches(engine, 0)
    assert len((await client.call_tool("search", QUERY)).structured_content["hits"]) == 2


async def wait_for_searches(engine: Engine, wanted: int) -> None:
    async with asyncio.timeout(60):
        while True:
            with engine.connect() as connection:
                if connection.scalar(text(WAITING)) == wanted:
                    return
            await asyncio.sleep(0.05)


def test_over_http_with_a_key(installation: ServedInstallation) -> None:
    async def ask(key: str, work: Any) -> None:
        headers = {"authorization": f"Bearer {key}"}
        url = f"{installation.server.url}/mcp"
        async with (
            AsyncClient(headers=headers) as http,
            Client(streamable_http_client(url, http_client=http)) as client,
        ):
            await work(client, installation.engine)

    asyncio.run(ask(installation.key, use))
    with pytest.raises(BaseException, match=r"401|Unauthorized|unhandled errors"):
        asyncio.run(ask("rag_wrong", use))


def test_over_stdio(installation: ServedInstallation) -> None:
    async def ask() -> None:
        command = StdioServerParameters(
            command=str(COMMAND), args=["mcp", "--project", "zoo"], env=dict(os.environ), cwd=Path.cwd()
        )
        async with Client(command) as client:
            await use(client, installation.engine)
            found = await client.call_tool("list_projects", {})
            assert [one["name"] for one in found.structured_content["projects"]] == ["zoo"]

    asyncio.run(ask())


def test_by_another_client(installation: ServedInstallation) -> None:
    python = os.environ.get("OUTSIDE_CLIENTS_PYTHON")
    if python is None:
        pytest.skip("needs OUTSIDE_CLIENTS_PYTHON, as .ci/run sets it")
    result = subprocess.run(
        [python, ROOT / "tests" / "system" / "serve" / "fastmcp_client.py", f"{installation.server.url}/mcp"],
        env={"KEY": installation.key, "PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "4 tools, 2 hits: the query is empty" in result.stdout
