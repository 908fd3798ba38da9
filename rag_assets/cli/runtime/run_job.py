"""Runs a job in this process and records it in the installation's Dagster history."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from rag_assets.cli.runtime.cancellation import cancel_on_interrupt
from rag_assets.cli.runtime.installation import instance, quiet_run_config
from rag_assets.cli.runtime.pool_wait import limit_pool_wait
from rag_assets.errors import RagAssetsError, RunInterruptedError, escape_line
from rag_assets.orchestration.storage.dead_runs import close_dead_runs, process_tag
from rag_assets.pipeline.audit.result import NOTHING_TO_CHECK
from rag_assets.settings.settings import load_settings

if TYPE_CHECKING:
    import dagster as dg
    from dagster_shared.error import SerializableErrorInfo

# Keys of metadata that hold a chart.
CHART_KEYS = ("chart", "map")


@dataclass(frozen=True, slots=True)
class CheckOutcome:
    asset: str
    name: str
    passed: bool
    severity: str
    metadata: dict[str, Any]
    description: str | None

    @property
    def fatal(self) -> bool:
        return not self.passed and self.severity == "ERROR"

    def as_json(self) -> dict[str, Any]:
        return {
            "asset": self.asset,
            "name": self.name,
            "passed": self.passed,
            "severity": self.severity,
            "metadata": self.metadata,
        }


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """What a run did: the figures of each materialized asset, the checks, and the error that ended the run."""

    run_id: str
    success: bool
    figures: dict[str, dict[str, Any]]
    checks: list[CheckOutcome]
    error: RagAssetsError | None


def run_job(
    name: str,
    *,
    partition_key: str | None = None,
    partition_range: tuple[str, str] | None = None,
    config: Mapping[str, Any] | None = None,
    only: Sequence[str] | None = None,
    tags: Mapping[str, str] | None = None,
) -> RunOutcome:
    """Run a job to its end, for one partition key or a range of keys.

    `only` names the assets to materialize, with their checks, and `tags` are added to those of the run. The error of a
    step is in the outcome, not raised. Raises RunInterruptedError when the user interrupts the run.
    """
    import dagster as dg

    from rag_assets.definitions import defs
    from rag_assets.orchestration.assets.conditions import MAKES_ALL
    from rag_assets.orchestration.partitions import range_tags

    run_id = str(uuid4())
    job_tags = MAKES_ALL if name == "ingest" and only is None else {}
    partition_tags = {} if partition_range is None else range_tags(*partition_range)
    close_dead_runs(instance())
    wait_s = load_settings().lock_wait_s
    with (
        _kept_output(),
        _events_in_batches(),
        cancel_on_interrupt(instance(), run_id),
        limit_pool_wait(instance(), run_id, wait_s=wait_s),
    ):
        result = defs.resolve_job_def(name).execute_in_process(
            instance=instance(),
            run_id=run_id,
            partition_key=partition_key,
            tags=process_tag() | job_tags | partition_tags | dict(tags or {}),
            run_config={**quiet_run_config(), **(config or {})},
            asset_selection=None if only is None else [dg.AssetKey(name) for name in only],
            raise_on_error=False,
        )
    errors = list(_errors(result))
    for error in errors:
        if isinstance(error, RunInterruptedError):
            raise error
    return RunOutcome(
        run_id=result.run_id,
        success=result.success,
        figures=_figures(result),
        checks=[
            CheckOutcome(
                asset=found.asset_key.to_user_string(),
                name=found.check_name,
                passed=found.passed,
                severity=found.severity.value,
                metadata=plain_metadata(found.metadata),
                description=found.description,
            )
            for found in result.get_asset_check_evaluations()
            if NOTHING_TO_CHECK not in found.metadata
        ],
        error=next(iter(errors), None),
    )


def exit_on_failure(outcome: RunOutcome) -> None:
    """End the command with exit code 1 if a check failed; else raise the run's error, if any."""
    import typer

    if print_failed_checks(outcome):
        raise typer.Exit(1)
    if not outcome.success and outcome.error is not None:
        raise outcome.error


def print_failed_checks(outcome: RunOutcome) -> bool:
    """Print each failed check on a line of stderr, with its reason and remedy. Returns whether there is any."""
    import typer

    failed = [check for check in outcome.checks if check.fatal]
    for check in failed:
        reason = (check.description or "").rstrip(".")
        line = f"rag-assets: check {check.asset}/{check.name} failed: {reason}{_remedy(check)}"
        typer.echo(escape_line(line), err=True)
    return bool(failed)


def _remedy(check: CheckOutcome) -> str:
    """What to do, from the description of the check."""
    import dagster as dg

    from rag_assets.definitions import defs

    key = dg.AssetCheckKey(dg.AssetKey.from_user_string(check.asset), check.name)
    remedy = (defs.resolve_asset_graph().get_check_spec(key).description or "").partition("When it fails")[2]
    return f". {remedy[2:3].upper()}{remedy[3:]}" if remedy else ""


def _figures(result: "dg.ExecuteInProcessResult") -> dict[str, dict[str, Any]]:
    """The metadata of each materialized asset; numbers are summed over its partitions."""
    found: dict[str, dict[str, Any]] = {}
    for event in result.get_asset_materialization_events():
        if event.asset_key is None:
            continue
        figures = found.setdefault(event.asset_key.to_user_string(), {})
        for name, value in plain_metadata(event.materialization.metadata).items():
            known = figures.get(name)
            figures[name] = known + value if isinstance(known, int | float) else value
    return found


@contextmanager
def _kept_output() -> Iterator[None]:
    """Put stdout and stderr back in their places.

    Dagster redirects them into files of its history, and leaves them there when the disk is full: nothing that the
    command says afterwards would be seen.
    """
    copies = {descriptor: os.dup(descriptor) for descriptor in (1, 2)}
    try:
        yield
    finally:
        for descriptor, copied in copies.items():
            os.dup2(copied, descriptor)
            os.close(copied)


@contextmanager
def _events_in_batches() -> Iterator[None]:
    """Let Dagster write its events in batches: one by one takes longer than a run with nothing to do."""
    before = os.environ.get("DAGSTER_EVENT_BATCH_SIZE")
    os.environ["DAGSTER_EVENT_BATCH_SIZE"] = before or "50"
    try:
        yield
    finally:
        if before is None:
            del os.environ["DAGSTER_EVENT_BATCH_SIZE"]


def plain_metadata(metadata: "Mapping[str, dg.MetadataValue[Any]]") -> dict[str, Any]:
    """Metadata as JSON values, without Dagster's own keys (schemas, table names) and without charts."""
    return {
        key: value.value for key, value in metadata.items() if not key.startswith("dagster/") and key not in CHART_KEYS
    }


def _errors(result: "dg.ExecuteInProcessResult") -> Iterator[RagAssetsError]:
    """The error of each failed step, then that of the run. Failed checks are not errors here."""
    for event in result.all_events:
        if event.is_step_failure:
            error = event.step_failure_data.error
        elif event.event_type_value == "PIPELINE_FAILURE":
            error = event.job_failure_data.error
        elif event.event_type_value == "PIPELINE_CANCELED":
            yield RunInterruptedError()
            continue
        else:
            continue
        if not any(link.cls_name == "DagsterAssetCheckFailedError" for link in _error_chain(error)):
            yield _to_package_error(error)


def _error_chain(error: "SerializableErrorInfo | None") -> list["SerializableErrorInfo"]:
    return [] if error is None else [error, *_error_chain(error.cause)]


def _to_package_error(error: "SerializableErrorInfo | None") -> RagAssetsError:
    """Restore an error of this package from the chain of causes that Dagster recorded."""
    import psycopg.errors

    from rag_assets.db.session.server_errors import explain_answer

    chain = _error_chain(error)
    for link in chain:
        name = link.cls_name or ""
        if name in _ERRORS:
            # Dagster records "module.Class: message".
            return _ERRORS[name](link.message.strip().partition(": ")[2])
        if name == "DagsterExecutionInterruptedError":
            return RunInterruptedError()
    cause = chain[-1].message.strip() if chain else "the run ended without an error message"
    # SQLAlchemy's errors have psycopg's as their causes, some under the same names.
    for link in reversed(chain):
        answer = getattr(psycopg.errors, link.cls_name or "", None)
        if isinstance(answer, type) and issubclass(answer, psycopg.Error):
            return explain_answer(answer.sqlstate, link.message.strip().partition(": ")[2] or cause)
    return RagAssetsError(f"{cause}; see the run's log in `rag-assets ui`.")


def _subclasses(kind: type[RagAssetsError]) -> Iterator[type[RagAssetsError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _subclasses(child)


_ERRORS = {kind.__name__: kind for kind in _subclasses(RagAssetsError) if kind is not RunInterruptedError}
