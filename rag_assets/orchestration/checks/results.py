"""Run the checks of an asset in one step, and turn their results into Dagster's."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from rag_assets.orchestration.partitions import run_projects
from rag_assets.orchestration.scope import PipelineScope

if TYPE_CHECKING:
    from rag_assets.pipeline.audit.result import CheckResult


def only_project(context: dg.AssetCheckExecutionContext, scope: PipelineScope) -> str | None:
    """The project of a run over exactly one; None in a run over several, or over none, as that of the job `checks`."""
    projects = run_projects(context.run, context.instance, scope.projects)
    return projects[0] if projects is not None and len(projects) == 1 else None


def projects_to_check(context: dg.AssetCheckExecutionContext, scope: PipelineScope) -> list[str] | None:
    """The projects of a run over one or several, without those that failed in it; None in a run over none.

    A blocking check that failed for such a project would keep the other projects from going on.
    """
    projects = run_projects(context.run, context.instance, scope.projects)
    if projects is None or len(projects) == 1:
        return projects
    from rag_assets.projects.failures import list_failures

    with scope.postgres(context).engine.connect() as connection:
        failed = {failure.project for failure in list_failures(connection, run_id=context.run.run_id)}
    return [project for project in projects if project not in failed]


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
            passed, metadata, reason = result.passed, result.metadata, result.reason
        except Exception as error:
            context.log.exception("the check %s could not be run", key.name)
            reason = f"the check could not be run: {type(error).__name__}: {error}"
            passed, metadata = False, {}
        yield dg.AssetCheckResult(
            passed=passed,
            check_name=key.name,
            asset_key=key.asset_key,
            severity=(severity or {}).get(key.name, dg.AssetCheckSeverity.ERROR),
            metadata={name: _metadata_value(value) for name, value in metadata.items()},
            description=None if passed else reason,
        )


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
