"""rag-assets try: what another model would be worth, before it is paid."""

from typing import TYPE_CHECKING, Annotated

import typer

from rag_assets.cli.options import JsonOption

if TYPE_CHECKING:
    from rag_assets.pipeline.trial.trial import ModelTrial


def try_command(
    model: Annotated[str, typer.Argument(help="The model, as in RAG_ASSETS_MODEL.")],
    sample: Annotated[int, typer.Option(min=1, max=100_000, help="Texts to embed with it.")] = 500,
    project: Annotated[str | None, typer.Option(help="Texts and queries of this project alone.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Embed a sample with another model, and compare its answers with those of the live space. Changes nothing.

    The other settings, such as RAG_ASSETS_DIMENSIONS and RAG_ASSETS_EMBEDDING_URL, are those of the tried model.
    """
    from rag_assets.cli.output.console import print_json
    from rag_assets.cli.output.progress_bars import show_progress
    from rag_assets.cli.runtime import installation
    from rag_assets.db.database import writable_engine
    from rag_assets.embedding.encoder import get_space_encoder
    from rag_assets.pipeline.trial.trial import try_model
    from rag_assets.projects.store import get_project

    settings = installation.enter()
    engine = writable_engine(settings)
    if project is not None:
        with engine.connect() as connection:
            get_project(connection, project)
    with show_progress(visible=not as_json):
        trial = try_model(engine, settings, model, get_space_encoder, sample=sample, project=project)
    if as_json:
        print_json(trial.as_json())
    else:
        _print_trial(trial)


def _print_trial(trial: "ModelTrial") -> None:
    from rag_assets.cli.output.console import format_duration, format_size, new_table, out, pluralize, print_line

    made = "made from headings and titles" if trial.queries_made else "of the projects"
    queries = f"{trial.queries:,} {'query' if trial.queries == 1 else 'queries'}"
    table = new_table(title=f"{pluralize(trial.texts, 'text')}, {queries} {made}")
    table.add_column("model")
    for name in trial.live:
        table.add_column(name, justify="right")
    for model, metrics in ((f"{trial.live_model} (live)", trial.live), (trial.model, trial.tried)):
        table.add_row(model, *(f"{value:.3f}" for value in metrics.values()))
    out.print(table)
    whole, sample = trial.all, trial.sample
    minutes, size = format_duration((whole["minutes"] or 0) * 60), format_size(int(whole["bytes"] or 0))
    everything = f"{pluralize(int(whole['texts'] or 0), 'text')}, {whole['tokens']:,} tokens, {minutes}, {size}"
    lines = [
        f"the ten best chunks are the same to {trial.overlap:.0%}",
        *([f"refused: {pluralize(trial.refused, 'text')}"] if trial.refused else []),
        f"sample: {format_duration(sample['seconds'] or 0)}, {sample['tokens']:,} tokens{_money(sample['cost'])}",
        f"all: {everything}{_money(whole['cost'])}",
    ]
    for line in lines:
        print_line(line)


def _money(cost: float | None) -> str:
    return "" if cost is None else f", cost {cost:,.4g}"
