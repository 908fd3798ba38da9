"""rag-assets serve: answer over HTTP until Ctrl-C."""

from importlib.util import find_spec
from typing import Annotated

import typer

from rag_assets.errors import UsageError

_PACKAGES = ("fastapi", "jwt", "mcp", "orjson", "prometheus_client", "uvicorn")


def serve(
    host: Annotated[str, typer.Option(help="The address to listen on; 0.0.0.0 for all of this machine.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 for any free one.")] = 8000,
    grace_s: Annotated[
        float, typer.Option("--grace-s", min=0, max=3600, help="Seconds that running requests have to end at the end.")
    ] = 10,
) -> None:
    """Answer searches over HTTP until Ctrl-C. Callers need a key: `rag-assets keys add NAME`."""
    from rag_assets.cli.runtime import installation

    check_serve_extra("serve")
    settings = installation.enter()
    from rag_assets.serve.server import run_server

    run_server(settings, host, port, grace_s=grace_s, say=lambda text: typer.echo(text, err=True))


def check_serve_extra(command: str) -> None:
    """Raises UsageError where the packages of the extra are missing."""
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"rag-assets {command} needs {', '.join(missing)}; install them: pip install 'rag_assets[serve]'."
        )
