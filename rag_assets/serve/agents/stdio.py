"""The MCP server of one program, which has started it: over its standard input and output."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version

from mcp.server.stdio import stdio_server

from rag_assets.client import AsyncClient
from rag_assets.db.database import writable_engine
from rag_assets.repositories.audit.trail import AuditTrail
from rag_assets.repositories.audit.writer import AuditWriter
from rag_assets.serve.access.authentication import OWNER
from rag_assets.serve.agents.mcp_server import AgentTools, make_mcp_server
from rag_assets.serve.core.knowledge import Knowledge
from rag_assets.serve.http.admission import Admission
from rag_assets.serve.http.gate import GateLimits
from rag_assets.settings.settings import Settings


def run_stdio(settings: Settings, projects: Sequence[str]) -> None:
    """Serve until the program closes its end. Only these projects, or all where none is named."""
    asyncio.run(_serve(settings, projects))


async def _serve(settings: Settings, projects: Sequence[str]) -> None:
    async with AsyncClient(settings) as client:
        principal = OWNER
        if projects:
            named = [await client.projects.get(name) for name in projects]
            principal = replace(OWNER, projects={project.name: project.id for project in named})
        admission = Admission(
            running=settings.serve_running, queue=settings.serve_queue, per_caller=settings.serve_per_caller
        )
        writer = None if settings.audit == "off" else AuditWriter(lambda: writable_engine(settings))
        tools = AgentTools(
            Knowledge(client, audit=AuditTrail(writer, "mcp", keeps_queries=settings.audit_queries)),
            admission,
            GateLimits.of(settings),
            lambda _: principal,
            project_tools=settings.serve_project_tools,
        )
        server = make_mcp_server(tools, version("rag_assets"))
        try:
            async with stdio_server() as (reading, writing):
                await server.run(reading, writing, server.create_initialization_options())
        finally:
            if writer is not None:
                await asyncio.to_thread(writer.close)
