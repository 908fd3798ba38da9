"""From what the tables say to what Dagster shows: one step evaluates all checks of an asset."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from rag_assets.orchestration.partitions import run_keys
from rag_assets.orchestration.scope import Pipeline

if TYPE_CHECKING:
    from rag_assets.pipeline.audit.result import Finding


def project_of(context: dg.AssetCheckExecutionContext, pipeline: Pipeline) -> str | None:
    """The project of a run over one project; None in a run over several, or over none as that of the job `checks`."""
    keys = run_keys(context.run, context.instance, pipeline.projects)
    return keys[0] if keys is not None and len(keys) == 1 else None


def projects_of(context: dg.AssetCheckExecutionContext, pipeline: Pipeline) -> list[str] | None:
    """The projects of a run over one or several, without those that failed in it; None in a run over none.

    What a check finds of a project that failed must not keep the others from going on.
    """
    keys = run_keys(context.run, context.instance, pipeline.projects)
    if keys is None or len(keys) == 1:
        return keys
    from rag_assets.projects.failures import list_failures

    with pipeline.postgres(context).engine.connect() as connection:
        failed = {failure.project for failure in list_failures(connection, run_id=context.run.run_id)}
    return [key for key in keys if key not in failed]


def evaluate(
    context: dg.AssetCheckExecutionContext,
    checks: "Mapping[str, Callable[[], Finding]]",
    *,
    severity: Mapping[str, dg.AssetCheckSeverity] | None = None,
    prefix: str = "",
) -> Iterator[dg.AssetCheckResult]:
    """Run the selected checks one by one; one that raises is red with its error, and the others still run."""
    named = {f"{prefix}{name}": check for name, check in checks.items()}
    for key in sorted(context.selected_asset_check_keys, key=lambda key: list(named).index(key.name)):
        try:
            finding = named[key.name]()
            passed, metadata, reason = finding.passed, finding.metadata, finding.reason
        except Exception as error:
            context.log.exception("the check %s could not be made", key.name)
            reason = f"the check could not be made: {type(error).__name__}: {error}"
            passed, metadata = False, {}
        yield dg.AssetCheckResult(
            passed=passed,
            check_name=key.name,
            asset_key=key.asset_key,
            severity=(severity or {}).get(key.name, dg.AssetCheckSeverity.ERROR),
            metadata={name: _shown(value) for name, value in metadata.items()},
            description=None if passed else reason,
        )


def nothing_to_check(context: dg.AssetCheckExecutionContext, reason: str) -> Iterator[dg.AssetCheckResult]:
    """The selected checks, passed. Dagster shows silent ones as failed where another one of the run fails."""
    from rag_assets.pipeline.audit.result import NOTHING_TO_CHECK

    for key in sorted(context.selected_asset_check_keys, key=lambda key: key.name):
        yield dg.AssetCheckResult(
            passed=True, check_name=key.name, asset_key=key.asset_key, metadata={NOTHING_TO_CHECK: reason}
        )


def _shown(value: Any) -> Any:
    from rag_assets.pipeline.charts.markdown import Markdown

    return dg.MetadataValue.md(value) if isinstance(value, Markdown) else value
