"""rag-assets status: what is there, what is pending, what failed; or, in short, whether it can serve."""

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rag_assets.errors import RagAssetsError, ServiceError

if TYPE_CHECKING:
    from sqlalchemy import Engine


def status(
    health: Annotated[
        bool, typer.Option("--health", help="Only whether all is well; exit code 3 when something is not.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")] = False,
) -> None:
    """Show database, projects, pending work, failed documents, spaces and indexes."""
    from rag_assets.cli.output import reports
    from rag_assets.cli.runtime import installation
    from rag_assets.db.database import dispose_engines, new_engine

    settings = installation.enter()
    try:
        engine = new_engine(settings)
        try:
            found = _health(engine) if health else _status(engine)
        finally:
            engine.dispose()
            dispose_engines()
    except RagAssetsError as error:
        # The embedded server may not even start.
        if not (health and isinstance(error, ServiceError)):
            raise
        found = {"healthy": False, "checks": [{"name": "connect", "healthy": False, "detail": str(error)}]}
    if as_json:
        sys.stdout.write(json.dumps(found, default=str) + "\n")
    elif health:
        reports.health(found)
    else:
        reports.status(found)
    if health and not found["healthy"]:
        raise typer.Exit(ServiceError.exit_code)


def _health(engine: "Engine") -> dict[str, Any]:
    from rag_assets.db.reports.health import check_health

    checks = [check.as_json() for check in check_health(engine)]
    return {"healthy": all(check["healthy"] for check in checks), "checks": checks}


def _status(engine: "Engine") -> dict[str, Any]:
    from rag_assets.pipeline.status import read_status

    return read_status(engine)
