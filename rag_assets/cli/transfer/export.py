"""rag-assets export: the vectors of a space as a Parquet file."""

from pathlib import Path
from typing import Annotated

import typer

from rag_assets.cli.options import JsonOption


def export_command(
    file: Annotated[Path, typer.Argument(help="The file to write, like vectors.parquet.")],
    space: Annotated[
        int | None, typer.Option(help="Number of the space, from `rag-assets spaces list`. Without it: the live space.")
    ] = None,
    kind: Annotated[str, typer.Option(help="Kind of texts: chunks, messages, memories, or a table's.")] = "chunks",
    as_json: JsonOption = False,
) -> None:
    """Write texts and vectors of a space into a Parquet file, for another database. Needs the extra `parquet`.

    An interrupted export is continued by the same command; the file appears when it is whole.
    """
    from dataclasses import asdict

    from rag_assets.cli.output.console import format_size, pluralize, print_json, print_line
    from rag_assets.cli.output.progress_bars import show_progress
    from rag_assets.cli.runtime import installation
    from rag_assets.db.database import shared_engine
    from rag_assets.transfer.export import export_vectors, find_exported_space

    engine = shared_engine(installation.enter())
    found = find_exported_space(engine, kind, space)
    with show_progress(visible=not as_json):
        exported = export_vectors(engine, found, file)
    if as_json:
        print_json(asdict(exported))
        return
    vectors = pluralize(exported.vectors, "vector")
    print_line(f"{exported.file}: {vectors} of {exported.model} ({exported.kind}), {format_size(exported.bytes)}")
