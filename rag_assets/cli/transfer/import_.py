"""rag-assets import: vectors that were made elsewhere."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rag_assets.cli.options import JsonOption

if TYPE_CHECKING:
    from rag_assets.settings.settings import Settings


def import_command(
    source: Annotated[str, typer.Argument(metavar="FILE.parquet", help="A file that rag-assets export has written.")],
    as_json: JsonOption = False,
) -> None:
    """Take vectors that exist already, instead of embedding their texts.

    The next ingest of the same texts embeds nothing. Every row is checked before the first one is stored.
    """
    from rag_assets.cli.runtime import installation

    _import_file(installation.enter_background(), Path(source), as_json=as_json)


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
