"""Notices of failed runs: what they say, and where they go."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import dagster as dg

from rag_assets.errors import UsageError
from rag_assets.orchestration.automation.default_status import sensor_status
from rag_assets.orchestration.automation.jobs import all_assets, job_names
from rag_assets.orchestration.partitions import run_projects
from rag_assets.orchestration.scope import PipelineScope
from rag_assets.settings.entry_points import import_object

if TYPE_CHECKING:
    from dagster_shared.error import SerializableErrorInfo

NOTICE_TIMEOUT_S = 10


@dataclass(frozen=True, slots=True)
class FailureNotice:
    """A run that failed. `reasons` has one line by step, `advice` says what to do next."""

    job: str
    run_id: str
    projects: list[str]
    reasons: dict[str, str]
    advice: str

    def __str__(self) -> str:
        of = f" of {', '.join(self.projects)}" if self.projects else ""
        reasons = "; ".join(f"{step}: {reason}" for step, reason in self.reasons.items())
        return f"the run {self.run_id} ({self.job}{of}) failed. {reasons}. {self.advice}"


def failed_runs_sensor(scope: PipelineScope) -> dg.SensorDefinition:
    @dg.run_failure_sensor(
        name=scope.name("failed_runs"),
        default_status=sensor_status(scope.settings),
        minimum_interval_seconds=scope.settings.sensor_interval_s,
    )
    def failed_runs(context: dg.RunFailureSensorContext) -> None:
        """Logs what failed and what to do, and sends it to the webhook or function that RAG_ASSETS_NOTIFY names."""
        if not is_pipeline_run(context.dagster_run, context.instance, scope):
            return
        notice = build_notice(context, scope)
        context.log.error(str(notice))
        target = scope.settings.notify
        if target is not None:
            send_notice(target.get_secret_value(), notice)

    return failed_runs


def is_pipeline_run(run: dg.DagsterRun, instance: dg.DagsterInstance, scope: PipelineScope) -> bool:
    """Whether the run is of one of our jobs, assets or checks: the code location may also have others."""
    if run.job_name in {scope.name(job) for job in job_names(scope)}:
        return True
    ours = set(scope.keys(all_assets(scope)))
    if not run.asset_selection and not run.asset_check_selection:
        # A whole job of someone else's, which may include some of our assets.
        steps = {key.to_python_identifier() for key in ours}
        plan = run.execution_plan_snapshot_id
        return plan is not None and not steps.isdisjoint(
            instance.get_execution_plan_snapshot(plan).step_keys_to_execute
        )
    checked = {key.asset_key for key in run.asset_check_selection or ()}
    return not ours.isdisjoint((run.asset_selection or set()) | checked)


def build_notice(context: dg.RunFailureSensorContext, scope: PipelineScope) -> FailureNotice:
    run = context.dagster_run
    reasons = {
        str(event.step_key): _reason(getattr(event.event_specific_data, "error", None))
        for event in context.get_step_failure_events()
    }
    # An error between the steps, such as a pool that never had a free slot.
    error = getattr(context.failure_event.event_specific_data, "error", None)
    reasons = reasons or {
        "run": _reason(error) if error else context.failure_event.message or "it ended without a reason"
    }
    return FailureNotice(
        job=run.job_name,
        run_id=run.run_id,
        projects=run_projects(run, context.instance, scope.projects) or [],
        reasons=reasons,
        advice="Fix it and run again: finished work is kept, and only what is pending is done; "
        "`rag-assets status` lists it.",
    )


def _reason(error: "SerializableErrorInfo | None") -> str:
    """The message of the first of our own errors in the chain of causes, or else of the last cause."""
    message = "it gave no reason"
    while error is not None:
        message = error.message.strip()
        # Dagster writes "module.Class: message".
        if message.startswith("rag_assets."):
            return message.partition(": ")[2]
        error = error.cause
    return message


def send_notice(target: str, notice: FailureNotice) -> None:
    """Post it to a webhook (Slack, Mattermost and others), or call the function `package.module:function` with it."""
    if target.startswith(("https://", "http://")):
        _post(target, notice)
        return
    _import_function(target)(notice)


def _import_function(target: str) -> Callable[[FailureNotice], object]:
    try:
        function: Callable[[FailureNotice], object] = import_object(target)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(
            f"RAG_ASSETS_NOTIFY {target!r} cannot be imported ({error}); give a URL or `package.module:function`."
        ) from error
    return function


def _post(url: str, notice: FailureNotice) -> None:
    from urllib.request import Request, urlopen

    body = json.dumps({"text": str(notice), **asdict(notice)}).encode()
    request = Request(url, data=body, headers={"Content-Type": "application/json"})  # noqa: S310 - http or https
    with urlopen(request, timeout=NOTICE_TIMEOUT_S):  # noqa: S310
        pass
