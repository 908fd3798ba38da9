"""Marks runs whose command was killed as failed, which frees their slots in concurrency pools."""

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import dagster as dg

PROCESS_TAG = "rag-assets/process"
WHY = "The command that it ran in was killed; what it had committed stays."


def process_tag() -> dict[str, str]:
    """Tags that name the process of a run, which no other process monitors or retries."""
    return {PROCESS_TAG: _process(os.getpid()), "dagster/max_retries": "0"}


def close_dead_runs(instance: "dg.DagsterInstance") -> None:
    """Report the unfinished runs of this machine's commands whose process is gone as failed or cancelled."""
    import dagster as dg

    host = socket.gethostname()
    unfinished = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
    for run in instance.get_runs(dg.RunsFilter(statuses=unfinished)):
        process = run.tags.get(PROCESS_TAG, "")
        if process.partition(" ")[0] != host or _process(int(process.split()[1])) == process:
            continue
        if run.status == dg.DagsterRunStatus.CANCELING:
            instance.report_run_canceled(run, WHY)
        else:
            instance.report_run_failed(run, WHY)
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)


def _process(pid: int) -> str:
    """Host, id and start time of a process: an id alone may be reused."""
    try:
        # The 22nd field, counted after the name, which ends with the last bracket and may contain anything.
        started = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        started = "-" if _is_alive(pid) else "gone"
    return f"{socket.gethostname()} {pid} {started}"


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
