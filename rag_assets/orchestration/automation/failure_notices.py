"""What is said, and to whom, when a run fails."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import TYPE_CHECKING

import dagster as dg

from rag_assets.errors import UsageError
from rag_assets.orchestration.automation.default_status import sensor_status
from rag_assets.orchestration.automation.jobs import all_assets, job_names
from rag_assets.orchestration.partitions import run_keys
from rag_assets.orchestration.scope import Pipeline

if TYPE_CHECKING:
    from dagster_shared.error import SerializableErrorInfo

NOTICE_TIMEOUT_S = 10


@dataclass(frozen=True, slots=True)
class FailureNotice:
    """A run that failed: `reasons` by step, each what went wrong in one line; `advice` what to do next."""

    job: str
    run_id: str
    projects: list[str]
    reasons: dict[str, str]
    advice: str

    def __str__(self) -> str:
        of = f" of {', '.join(self.projects)}" if self.projects else ""
        told = "; ".join(f"{step}: {reason}" for step, reason in self.reasons.items())
        return f"the run {self.run_id} ({self.job}{of}) failed. {told}. {self.advice}"


def failed_runs(pipeline: Pipeline) -> dg.SensorDefinition:
    @dg.run_failure_sensor(
        name=pipeline.name("failed_runs"),
        default_status=sensor_status(pipeline.settings),
        minimum_interval_seconds=pipeline.settings.sensor_interval_s,
    )
    def failed_runs(context: dg.RunFailureSensorContext) -> None:
        """Logs what failed and what to do, and tells whoever RAG_ASSETS_NOTIFY names."""
        if not is_ours(context.dagster_run, context.instance, pipeline):
            return
        found = notice_of(context, pipeline)
        context.log.error(str(found))
        target = pipeline.settings.notify
        if target is not None:
            notify(target.get_secret_value(), found)

    return failed_runs


def is_ours(run: dg.DagsterRun, instance: dg.DagsterInstance, pipeline: Pipeline) -> bool:
    """Whether the run is of one of our jobs, or of some of our assets or their checks: there may be others' beside."""
    if run.job_name in {pipeline.name(job) for job in job_names(pipeline)}:
        return True
    ours = set(pipeline.keys(all_assets(pipeline)))
    if not run.asset_selection and not run.asset_check_selection:
        # All of somebody else's job, which may have some of our assets in it.
        steps = {key.to_python_identifier() for key in ours}
        plan = run.execution_plan_snapshot_id
        return plan is not None and not steps.isdisjoint(
            instance.get_execution_plan_snapshot(plan).step_keys_to_execute
        )
    checked = {key.asset_key for key in run.asset_check_selection or ()}
    return not ours.isdisjoint((run.asset_selection or set()) | checked)


def notice_of(context: dg.RunFailureSensorContext, pipeline: Pipeline) -> FailureNotice:
    run = context.dagster_run
    reasons = {
        str(event.step_key): _reason(getattr(event.event_specific_data, "error", None))
        for event in context.get_step_failure_events()
    }
    # What ends a run between its steps, such as a pool without a place.
    error = getattr(context.failure_event.event_specific_data, "error", None)
    reasons = reasons or {
        "run": _reason(error) if error else context.failure_event.message or "it ended without saying why"
    }
    return FailureNotice(
        job=run.job_name,
        run_id=run.run_id,
        projects=run_keys(run, context.instance, pipeline.projects) or [],
        reasons=reasons,
        advice="Mend it and run again: what was done is kept, and what is pending is done; "
        "`rag-assets status` lists it.",
    )


def _reason(error: "SerializableErrorInfo | None") -> str:
    """The first of our own errors in a chain of causes, which is a whole sentence, else the last cause."""
    said = "it did not say why"
    while error is not None:
        said = error.message.strip()
        # Dagster writes "module.Class: message".
        if said.startswith("rag_assets."):
            return said.partition(": ")[2]
        error = error.cause
    return said


def notify(target: str, notice: FailureNotice) -> None:
    """Post to a webhook as Slack, Mattermost and others take it, or call `package.module:function` with the notice."""
    if target.startswith(("https://", "http://")):
        _post(target, notice)
        return
    _hook(target)(notice)


def _hook(target: str) -> Callable[[FailureNotice], object]:
    module, _, name = target.partition(":")
    try:
        hook: Callable[[FailureNotice], object] = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(
            f"RAG_ASSETS_NOTIFY {target!r} cannot be imported ({error}); name an URL or `package.module:function`."
        ) from error
    return hook


def _post(url: str, notice: FailureNotice) -> None:
    from urllib.request import Request, urlopen

    body = json.dumps({"text": str(notice), **asdict(notice)}).encode()
    request = Request(url, data=body, headers={"Content-Type": "application/json"})  # noqa: S310 - http or https
    with urlopen(request, timeout=NOTICE_TIMEOUT_S):  # noqa: S310
        pass
