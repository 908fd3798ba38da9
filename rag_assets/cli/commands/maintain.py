"""rag-assets maintain: run the scheduled maintenance now."""

from typing import Any

import typer

from rag_assets.cli.options import JsonOption


def maintain(
    as_json: JsonOption = False,
) -> None:
    """Delete expired and unused rows, vacuum tables, rebuild damaged indexes, prewarm live ones, check every row.

    The exit code is 1 when a check over all rows fails; the next ingest reports it as well.
    """
    from rag_assets.cli.output.console import print_json
    from rag_assets.cli.output.progress_bars import show_progress
    from rag_assets.cli.runtime import installation
    from rag_assets.db.database import writable_engine
    from rag_assets.db.spaces.text_kinds import list_kinds
    from rag_assets.errors import escape_line
    from rag_assets.pipeline import maintenance
    from rag_assets.pipeline.target.wanted_space import target_space

    settings = installation.enter_background()
    targets = {kind: target_space(settings, kind) for kind in list_kinds()}
    with show_progress(visible=not as_json):
        figures = maintenance.run_maintenance(writable_engine(settings), settings, targets)
    if as_json:
        print_json(figures)
    else:
        _print_figures(figures)
    for failed in figures["failed_checks"]:
        line = f"rag-assets: check {failed['check']} failed: {failed['reason']}; run `rag-assets repair`."
        typer.echo(escape_line(line), err=True)
    if figures["failed_checks"]:
        raise typer.Exit(1)


def _print_figures(figures: dict[str, Any]) -> None:
    for name in ("sessions_removed", "memories_forgotten", "memories_removed", "spaces_dropped", "orphans_removed"):
        typer.echo(f"{name.replace('_', ' ')}: {figures[name]:,}")
    for index in figures["indexes"]:
        recall = "" if index["recall"] is None else f", recall@10 {index['recall']:.3f}"
        dead = "" if index["dead_share"] is None else f", {index['dead_share']:.0%} of it dead"
        typer.echo(f"index of space {index['space']}: {index['found'] or 'not built yet'}{recall}{dead}")
    typer.echo(f"vacuumed: {', '.join(figures['vacuumed']) or 'nothing needed it'}")
    typer.echo(f"blocks read ahead: {figures['prewarmed_blocks']:,}; {figures['seconds']:.1f} s")
