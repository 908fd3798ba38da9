"""rag-assets mcp: tools for the agent that starts it."""

from typing import Annotated

import typer

from rag_assets.cli.serving.serve import check_serve_extra


def mcp(
    project: Annotated[list[str] | None, typer.Option(help="Serve this project only; repeatable.")] = None,
) -> None:
    """Serve tools and documents to an agent by the Model Context Protocol, on stdin and stdout."""
    from rag_assets.cli.runtime import installation

    check_serve_extra("mcp")
    settings = installation.enter()
    from rag_assets.serve.agents.stdio import run_stdio

    run_stdio(settings, project or ())
