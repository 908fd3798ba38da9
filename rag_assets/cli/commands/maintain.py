"""rag-assets maintain: what the schedule of the maintenance does, now."""

import json
import sys
from contextlib import nullcontext
from typing import Annotated, Any

import typer


def maintain(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")] = False,
) -> None:
    """Remove what is expired or left over, vacuum, build ailing indexes anew, keep the live ones warm."""
    from rag_assets.cli.output import progress_bars
    from rag_assets.cli.runtime import installation
    from rag_assets.db.database import shared_engine
    from rag_assets.db.spaces.text_kinds import list_kinds
    from rag_assets.pipeline import maintenance
    from rag_assets.pipeline.target.wanted_space import target_space

    settings = installation.enter()
    targets = {kind: target_space(settings, kind) for kind in list_kinds()}
    with nullcontext() if as_json else progress_bars.shown():
        figures = maintenance.run_maintenance(shared_engine(settings), settings, targets)
    if as_json:
        sys.stdout.write(json.dumps(figures) + "\n")
    else:
        _show(figures)


def _show(figures: dict[str, Any]) -> None:
    for name in ("sessions_removed", "memories_forgotten", "memories_removed", "spaces_dropped", "orphans_removed"):
        typer.echo(f"{name.replace('_', ' ')}: {figures[name]:,}")
    for index in figures["indexes"]:
        recall = "" if index["recall"] is None else f", recall@10 {index['recall']:.3f}"
        dead = "" if index["dead_share"] is None else f", {index['dead_share']:.0%} of it dead"
        typer.echo(f"index of space {index['space']}: {index['found'] or 'not built yet'}{recall}{dead}")
    typer.echo(f"vacuumed: {', '.join(figures['vacuumed']) or 'nothing needed it'}")
    typer.echo(f"blocks read ahead: {figures['prewarmed_blocks']:,}; {figures['seconds']:.1f} s")
