"""rag-assets embed: bring the vectors of messages, memories or a registered table up to date."""

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rag_assets.cli.options import JsonOption, VerboseOption

if TYPE_CHECKING:
    from rag_assets.cli.runtime.run_job import RunOutcome

# The names of the assets of the built-in kinds begin with these; those of a registered table with its name.
_PREFIXES = {"messages": "message", "memories": "memory"}


def embed(
    kind: Annotated[str, typer.Argument(help="messages, memories, or the name of a registered table.")],
    verbose: VerboseOption = False,
    as_json: JsonOption = False,
) -> None:
    """Embed messages or memories that have no vector yet, then index and check them.

    Messages are embedded by day, from the first day with messages that have no vector.
    """
    from rag_assets.cli.output.console import print_json
    from rag_assets.cli.output.progress_bars import show_progress
    from rag_assets.cli.output.runs import print_embed
    from rag_assets.cli.runtime import installation
    from rag_assets.cli.runtime.run_job import exit_on_failure, run_job
    from rag_assets.db.database import writable_engine
    from rag_assets.db.spaces.text_kinds import list_kinds
    from rag_assets.errors import UsageError
    from rag_assets.pipeline import refresh
    from rag_assets.pipeline.target.wanted_space import target_space

    started = time.perf_counter()
    if kind not in (kinds := list_kinds()[1:]):
        raise UsageError(f"there is no {kind!r} to embed; choose one of {', '.join(kinds)}.")
    settings = installation.enter_background()
    target = target_space(settings, kind)
    engine = writable_engine(settings)
    days = None
    if kind == "messages":
        # With nothing to embed, vectors may have to be removed, which the run of any day does.
        pending = refresh.pending_days(engine, settings, target) or [datetime.now(UTC).date()]
        days = (pending[0].isoformat(), pending[-1].isoformat())
    with show_progress(visible=not as_json):
        outcome = run_job(f"embed_{kind}", partition_range=days)
    report = _report(kind, days, outcome, time.perf_counter() - started)
    if as_json:
        print_json(report)
    elif outcome.figures:
        print_embed(report, outcome.checks, verbose=verbose)
    exit_on_failure(outcome)


def _report(kind: str, days: tuple[str, str] | None, outcome: "RunOutcome", total_s: float) -> dict[str, Any]:
    """The object that --json prints. Figures of assets that were not materialized are 0."""
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
