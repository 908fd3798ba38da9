"""Run the checks of an asset in one step, and turn their results into Dagster's."""

import time
from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any

import dagster as dg

from rag_assets.documents.shards import key_projects
from rag_assets.errors import RagAssetsError
from rag_assets.orchestration.assets.conditions import READS_CHANGES
from rag_assets.orchestration.partitions import run_projects
from rag_assets.orchestration.scope import PipelineScope

if TYPE_CHECKING:
    import psycopg
    from sqlalchemy.exc import DBAPIError

    from rag_assets.pipeline.audit.incremental import Reading
    from rag_assets.pipeline.audit.result import CheckResult

RunChecks = Callable[[dg.AssetCheckExecutionContext], Iterator[dg.AssetCheckResult]]


def only_project(context: dg.AssetCheckExecutionContext, scope: PipelineScope) -> str | None:
    """The project of a run over exactly one, or shards of it; None in a run over several, or over none."""
    keys = run_projects(context.run, context.instance, scope.projects)
    projects = None if keys is None else key_projects(keys)
    return projects[0] if projects is not None and len(projects) == 1 else None


def projects_to_check(context: dg.AssetCheckExecutionContext, scope: PipelineScope) -> list[str] | None:
    """The projects and shards (`name:01of16`) of a run, without those that failed in it; None in a run over none.

    A blocking check that failed for such a project would keep the other projects from going on.
    """
    from rag_assets.db.spaces.shards import explicit_keys
    from rag_assets.projects.failures import list_failures

    keys = run_projects(context.run, context.instance, scope.projects)
    if keys is None:
        return None
    with scope.postgres(context).engine.connect() as connection:
        if len(keys) > 1:
            failed = {failure.key for failure in list_failures(connection, run_id=context.run.run_id)}
            keys = [key for key in keys if key not in failed]
        return explicit_keys(connection, keys)


def rows_to_read(context: dg.AssetCheckExecutionContext, scope: PipelineScope) -> "Reading":
    """How much the checks of this run read."""
    from rag_assets.pipeline.audit.incremental import Reading

    postgres = scope.postgres(context)
    runs = postgres.settings.check_rotation_runs
    incremental = READS_CHANGES.items() <= context.run.tags.items() and runs > 1
    return Reading(postgres.engine, runs if incremental else None)


def run_checks(
    context: dg.AssetCheckExecutionContext,
    checks: "Mapping[str, Callable[[], CheckResult]]",
    *,
    severity: Mapping[str, dg.AssetCheckSeverity] | None = None,
    prefix: str = "",
) -> Iterator[dg.AssetCheckResult]:
    """Run the selected checks one by one. One that raises has failed, with the error as its reason; the rest still run.

    `severity` is by name, ERROR by default; `prefix` stands before the names in Dagster.
    """
    prefixed = {f"{prefix}{name}": check for name, check in checks.items()}
    for key in sorted(context.selected_asset_check_keys, key=lambda key: list(prefixed).index(key.name)):
        try:
            result = prefixed[key.name]()
            passed, metadata, reason, warning = result.passed, result.metadata, result.reason, result.warning
        except Exception as error:
            if _lost_connection(error):
                raise  # See repeat_when_connections_break.
            context.log.exception("the check %s could not be run", key.name)
            passed, metadata, reason, warning = False, {}, _reason(error), False
        yield dg.AssetCheckResult(
            passed=passed,
            check_name=key.name,
            asset_key=key.asset_key,
            severity=dg.AssetCheckSeverity.WARN
            if warning
            else (severity or {}).get(key.name, dg.AssetCheckSeverity.ERROR),
            metadata={name: _metadata_value(value) for name, value in metadata.items()},
            description=None if passed else reason,
        )


def repeat_when_connections_break(run: RunChecks) -> RunChecks:
    """Run the checks again that had no result when a connection broke, for RAG_ASSETS_RETRY_S.

    Not by a retry policy of Dagster, which would also repeat a step whose blocking checks failed.
    """

    @wraps(run)
    def run_repeatedly(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        from rag_assets.db.connections.retry import Attempts
        from rag_assets.settings.settings import load_settings

        done: set[str | None] = set()
        attempts = Attempts(load_settings().retry_s)
        while True:
            try:
                for result in run(context):
                    if result.check_name not in done:
                        done.add(result.check_name)
                        yield result
                return
            except Exception as error:
                lost = _lost_connection(error)
                if lost is None:
                    raise
                try:
                    pause_s = attempts.pause_s(lost)
                except RagAssetsError as away:
                    left = [key for key in context.selected_asset_check_keys if key.name not in done]
                    for key in sorted(left, key=lambda key: key.name):
                        yield dg.AssetCheckResult(
                            passed=False, check_name=key.name, asset_key=key.asset_key, description=_reason(away)
                        )
                    return
            time.sleep(pause_s)

    return run_repeatedly


def _reason(error: Exception) -> str:
    from rag_assets.db.session.server_errors import describe_error

    return f"the check could not be run: {describe_error(error)}"


def _lost_connection(error: BaseException | None) -> "DBAPIError | psycopg.Error | None":
    """The broken connection that is the error or led to it, if any."""
    import psycopg
    from sqlalchemy.exc import DBAPIError

    from rag_assets.db.connections.retry import is_lost

    while error is not None and not isinstance(error, DBAPIError | psycopg.Error):
        error = error.__cause__
    return error if error is not None and is_lost(error) else None


def nothing_to_check(context: dg.AssetCheckExecutionContext, reason: str) -> Iterator[dg.AssetCheckResult]:
    """Pass the selected checks: Dagster shows a check without a result as failed when another one of the run fails."""
    from rag_assets.pipeline.audit.result import NOTHING_TO_CHECK

    for key in sorted(context.selected_asset_check_keys, key=lambda key: key.name):
        yield dg.AssetCheckResult(
            passed=True, check_name=key.name, asset_key=key.asset_key, metadata={NOTHING_TO_CHECK: reason}
        )


def _metadata_value(value: Any) -> Any:
    from rag_assets.pipeline.charts.markdown import Markdown

    return dg.MetadataValue.md(value) if isinstance(value, Markdown) else value
