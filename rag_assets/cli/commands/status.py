"""rag-assets status: what is stored, what is pending, what failed; or whether the installation is healthy."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from rag_assets.cli.options import JsonOption
from rag_assets.errors import RagAssetsError, ServiceError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from rag_assets.settings.settings import Settings


def status(
    health: Annotated[
        bool, typer.Option("--health", help="Only check whether everything works; exit code 3 if something does not.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the database, projects, pending work, failed documents, spaces and indexes."""
    from rag_assets.cli.output.console import print_json
    from rag_assets.cli.output.status import print_health, print_status
    from rag_assets.cli.runtime import installation
    from rag_assets.db.database import dispose_engines, new_engine
    from rag_assets.db.reports.health import check_disk

    settings = installation.enter()
    try:
        engine = new_engine(settings)
        try:
            report = _check_health(engine, settings) if health else _read_status(engine)
        finally:
            engine.dispose()
            dispose_engines()
    except RagAssetsError as error:
        # The embedded server may fail to start.
        if not (health and isinstance(error, ServiceError)):
            raise
        unreachable = {"name": "connect", "healthy": False, "detail": str(error)}
        report = {"healthy": False, "checks": [unreachable, check_disk(settings.kept_folder).as_json()]}
    if as_json:
        print_json(report)
    elif health:
        print_health(report)
    else:
        print_status(report)
    if health and not report["healthy"]:
        raise typer.Exit(ServiceError.exit_code)


def _check_health(engine: "Engine", settings: "Settings") -> dict[str, Any]:
    from rag_assets.db.reports.health import check_disk, check_health
    from rag_assets.search.execution.replica import check_replica_health

    found = (*check_health(engine), check_disk(settings.kept_folder), *check_replica_health(settings, engine))
    checks = [check.as_json() for check in found]
    return {"healthy": all(check["healthy"] for check in checks), "checks": checks}


def _read_status(engine: "Engine") -> dict[str, Any]:
    from rag_assets.pipeline.status import read_status

    return read_status(engine)
