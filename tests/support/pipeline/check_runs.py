"""Run only the checks, as `rag-assets check` does, and change tables without the pipeline."""

from typing import Any

import dagster as dg
from sqlalchemy import Engine, text

from rag_assets.orchestration.assets.conditions import READS_CHANGES
from tests.support.pipeline.runs import fake_defs

Evaluations = dict[str, dg.AssetCheckEvaluation]


def run_checks(*, full: bool = True) -> Evaluations:
    """Run all checks against the database of the environment; return the evaluations by check name.

    Without `full`, as in an ingest: they read what changed, and a part of the rest.
    """
    with dg.DagsterInstance.ephemeral() as instance:
        result = fake_defs.resolve_job_def("checks").execute_in_process(
            instance=instance,
            tags={} if full else READS_CHANGES,
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
    return {found.check_name: found for found in result.get_asset_check_evaluations()}


def failed_names(found: Evaluations) -> set[str]:
    return {name for name, evaluation in found.items() if not evaluation.passed}


def check_metadata(found: Evaluations, name: str) -> dict[str, Any]:
    return {key: value.value for key, value in found[name].metadata.items()}


def change_database(engine: Engine, statement: str, **values: Any) -> int:
    """Execute a statement without the pipeline; return the number of affected rows, which must not be zero."""
    with engine.begin() as connection:
        result = connection.execute(text(statement), values)
    assert result.rowcount != 0, f"the statement changes nothing: {statement}"
    return result.rowcount
