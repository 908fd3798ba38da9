"""rag-assets embed: messages, memories or a registered table, brought up to date in one run."""

import json
import sys
import time
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rag_assets.cli.runtime.run_job import Outcome

# The names of the assets of the built-in kinds begin with these; those of a registered table with its name.
_PREFIXES = {"messages": "message", "memories": "memory"}


def embed(
    kind: Annotated[str, typer.Argument(help="messages, memories, or the name of a registered table.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")] = False,
) -> None:
    """Embed what has no vector yet, index, check and serve it; of messages, every day that has some."""
    from rag_assets.cli.output import progress_bars
    from rag_assets.cli.runtime import installation
    from rag_assets.cli.runtime.run_job import finish, run_job
    from rag_assets.db.database import shared_engine
    from rag_assets.db.spaces.text_kinds import list_kinds
    from rag_assets.errors import UsageError
    from rag_assets.pipeline import refresh
    from rag_assets.pipeline.target.wanted_space import target_space

    started = time.perf_counter()
    if kind not in (kinds := list_kinds()[1:]):
        raise UsageError(f"there is no {kind!r} to embed; choose one of {', '.join(kinds)}.")
    settings = installation.enter()
    target = target_space(settings, kind)
    engine = shared_engine(settings)
    days = None
    if kind == "messages":
        # With nothing to embed there may still be something to remove, which any day's run does.
        pending = refresh.pending_days(engine, settings, target) or [datetime.now(UTC).date()]
        days = (pending[0].isoformat(), pending[-1].isoformat())
    with nullcontext() if as_json else progress_bars.shown():
        outcome = run_job(f"embed_{kind}", partition_range=days)
    report = _report(kind, days, outcome, time.perf_counter() - started)
    if as_json:
        sys.stdout.write(json.dumps(report, default=str) + "\n")
    else:
        from rag_assets.cli.output import reports

        reports.embed_report(report, outcome.checks)
    finish(outcome)


def _report(kind: str, days: tuple[str, str] | None, outcome: "Outcome", total_s: float) -> dict[str, Any]:
    """The contract of `--json`; figures of assets that were not materialized are 0."""
    prefix = _PREFIXES.get(kind, kind)
    embeddings, index = (outcome.figures.get(f"{prefix}_{asset}", {}) for asset in ("embeddings", "index"))
    return {
        "kind": kind,
        "days": list(days) if days else None,
        "texts": {
            name: int(embeddings.get(name, 0)) for name in ("distinct", "embedded", "reused", "longer_than_window")
        },
        "vectors": {"stored": index.get("vectors", 0), "removed": index.get("orphans_removed", 0)},
        "seconds": round(total_s, 3),
        "checks": [check.as_json() for check in outcome.checks],
        "run_ids": [outcome.run_id],
    }
