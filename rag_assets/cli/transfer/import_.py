"""rag-assets import: vectors that were made elsewhere."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rag_assets.cli.options import JsonOption
from rag_assets.errors import UsageError

if TYPE_CHECKING:
    from rag_assets.settings.settings import Settings
    from rag_assets.transfer.library_tables import TableColumns

_REASONS = {
    "without_text": "without a text",
    "without_vector": "without a vector",
    "unusable_vector": "with a vector that is zero or not finite",
    "longer_than_window": "with a text that is longer than the model's window",
}


def import_command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A file of rag-assets export (FILE.parquet), or whose table: langchain, llama-index, pgai, table.",
        ),
    ],
    url: Annotated[
        str | None,
        typer.Argument(metavar="URL", help="The database of the table, like postgresql://user:password@host/db."),
    ] = None,
    project: Annotated[str | None, typer.Option(help="Name of the project. Without it: made from the table.")] = None,
    table: Annotated[
        str | None, typer.Option(help="The table, like documents or shop.documents. Without it: the only one.")
    ] = None,
    collection: Annotated[str | None, typer.Option(help="The collection of a PGVector of langchain.")] = None,
    id_column: Annotated[str | None, typer.Option("--id", help="For table: the column that identifies a row.")] = None,
    text_column: Annotated[str | None, typer.Option("--text", help="For table: the column with the text.")] = None,
    vector: Annotated[str | None, typer.Option(help="For table: the column with the vectors.")] = None,
    metadata: Annotated[
        str | None, typer.Option(help="For table: columns of metadata, with commas; extra.* for the keys of JSON.")
    ] = None,
    sample: Annotated[int, typer.Option(min=1, max=100_000, help="Texts to embed again, as the proof.")] = 100,
    as_json: JsonOption = False,
) -> None:
    """Take vectors that exist already, instead of embedding their texts.

    From a table: a sample of its texts is embedded again; if all agree, texts and vectors become a project, and nothing
    else is embedded. From a file: the next ingest of the same texts embeds nothing.
    """
    from rag_assets.cli.runtime import installation
    from rag_assets.transfer.library_tables import LIBRARIES, TableColumns

    settings = installation.enter_background()
    if url is None and source not in LIBRARIES:
        _import_file(settings, Path(source), as_json=as_json)
        return
    if url is None:
        raise UsageError(f"name the database of the table: rag-assets import {source} postgresql://user@host/db.")
    options = TableColumns(table, collection, id_column, text_column, vector, metadata)
    _import_rows(settings, source, url, options, project=project, sample=sample, as_json=as_json)


def _import_file(settings: "Settings", file: Path, *, as_json: bool) -> None:
    from dataclasses import asdict

    from rag_assets.cli.output.console import pluralize, print_json, print_line
    from rag_assets.cli.output.progress_bars import show_progress
    from rag_assets.db.database import writable_engine
    from rag_assets.transfer.import_file import import_vectors

    with show_progress(visible=not as_json):
        done = import_vectors(writable_engine(settings), settings, file)
    if as_json:
        print_json(asdict(done))
        return
    print_line(
        f"{file}: {pluralize(done.vectors, 'vector')} of {done.model} ({done.kind}), {done.new:,} new, "
        f"{done.present:,} there already; the next run takes them for its texts"
    )


def _import_rows(
    settings: "Settings",
    library: str,
    url: str,
    options: "TableColumns",
    *,
    project: str | None,
    sample: int,
    as_json: bool,
) -> None:
    from rag_assets.cli.commands.ingest import ProjectOptions, prepare_project
    from rag_assets.cli.output.console import print_json
    from rag_assets.cli.output.progress_bars import show_progress
    from rag_assets.cli.runtime.project_ranges import project_ranges
    from rag_assets.cli.runtime.run_job import exit_on_failure, run_job
    from rag_assets.db.database import writable_engine
    from rag_assets.documents.sources.rows.address import with_password
    from rag_assets.embedding.encoder import get_space_encoder
    from rag_assets.projects.store import slugify
    from rag_assets.transfer.import_rows import prove_rows
    from rag_assets.transfer.library_tables import find_library_rows

    rows = find_library_rows(library, url, options, settings.state_dir)
    engine = writable_engine(settings)
    name = project or slugify(rows.name)
    with show_progress(visible=not as_json):
        proved = prove_rows(engine, settings, rows, get_space_encoder, sample=sample, project=name)
        given = ProjectOptions(with_password(proved.uri, rows.password), name, None, proved.exclude)
        prepare_project(engine, given)
        [(first, last)] = project_ranges(engine, only={name})
        outcome = run_job("ingest", partition_range=(first, last))
    embeddings = outcome.figures.get("embeddings", {})
    report = {
        "project": name,
        "rows": proved.survey.rows,
        "texts": int(embeddings.get("distinct", 0)),
        "adopted": int(embeddings.get("taken_from_source", 0)),
        "embedded": int(embeddings.get("embedded", 0)),
        "refused": proved.survey.counts,
        "sample": {
            "texts": proved.proof.texts,
            "least_cosine": proved.proof.least_cosine,
            "threshold": proved.proof.threshold,
        },
        "checks": [check.as_json() for check in outcome.checks],
        "run_ids": [outcome.run_id],
    }
    if as_json:
        print_json(report)
    elif outcome.figures:
        _print_rows(report)
    exit_on_failure(outcome)


def _print_rows(report: dict[str, Any]) -> None:
    from rag_assets.cli.output.console import pluralize, print_line

    proof = report["sample"]
    print_line(
        f"project {report['project']}: {pluralize(report['rows'], 'row')}, {report['adopted']:,} vectors adopted, "
        f"{report['embedded']:,} texts embedded"
    )
    print_line(
        f"proof: {pluralize(proof['texts'], 'text')} embedded again, the least cosine is {proof['least_cosine']:.6f} "
        f"(at least {proof['threshold']})"
    )
    for reason, number in report["refused"].items():
        print_line(f"refused: {pluralize(number, 'row')} {_REASONS[reason]}")
