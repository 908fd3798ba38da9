"""Runs of the checks alone, as `rag-assets check` runs them, and the ways to break what they look at."""

from typing import Any

import dagster as dg
from sqlalchemy import Engine, text

from tests.support.runs import fake_defs

Evaluations = dict[str, dg.AssetCheckEvaluation]


def look() -> Evaluations:
    """Run all checks against the database of the environment; gives what each found, by name."""
    with dg.DagsterInstance.ephemeral() as instance:
        result = fake_defs.resolve_job_def("checks").execute_in_process(
            instance=instance,
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
    return {found.check_name: found for found in result.get_asset_check_evaluations()}


def red(found: Evaluations) -> set[str]:
    return {name for name, evaluation in found.items() if not evaluation.passed}


def numbers(found: Evaluations, name: str) -> dict[str, Any]:
    return {key: value.value for key, value in found[name].metadata.items()}


def change(engine: Engine, statement: str, **values: Any) -> int:
    """Do something behind the pipeline's back; gives the number of rows it met, which must not be zero."""
    with engine.begin() as connection:
        result = connection.execute(text(statement), values)
    assert result.rowcount != 0, f"the test breaks nothing: {statement}"
    return result.rowcount
