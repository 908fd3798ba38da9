"""rag-assets explain: where a hit comes from."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from rag_assets.cli.options import JsonOption

if TYPE_CHECKING:
    from uuid import UUID

    from rag_assets.search.analysis.provenance import Provenance


def explain(
    chunk_id: Annotated[str, typer.Argument(help="The chunk_id of a hit, as `rag-assets search --json` prints it.")],
    as_json: JsonOption = False,
) -> None:
    """Show where a chunk comes from: source, document, offsets, space, model, and the runs that wrote it."""
    from rag_assets.cli.output.console import print_json
    from rag_assets.cli.runtime import installation
    from rag_assets.db.database import shared_engine
    from rag_assets.search.analysis.provenance import explain_chunk

    wanted = _parse_id(chunk_id)
    with shared_engine(installation.enter()).connect() as connection:
        found = explain_chunk(connection, wanted)
    if as_json:
        print_json(asdict(found))
    else:
        _print_provenance(found)


def _parse_id(value: str) -> "UUID":
    from uuid import UUID

    from rag_assets.errors import UsageError

    try:
        return UUID(value)
    except ValueError:
        raise UsageError(
            f"{value!r} is not the id of a chunk; take a chunk_id from `rag-assets search QUERY --json`."
        ) from None


def _print_provenance(found: "Provenance") -> None:
    from rag_assets.cli.output.console import PREVIEW_CHARS, on_one_line, print_line, shorten

    def line(name: str, value: object) -> None:
        print_line(f"{name:<9} {on_one_line(str(value))}")

    line("chunk", f"{found.chunk_id}, {found.token_count:,} tokens, sha256 {found.content_hash}")
    line("document", f"{found.project}/{found.file_path} [{found.char_start}:{found.char_end}]")
    if found.page is not None:
        line("page", found.page)
    if found.heading_path:
        line("heading", " / ".join(found.heading_path))
    if found.header is not None:
        line("header", shorten(found.header, PREVIEW_CHARS))
    line("source", f"{found.source_uri}, version {found.source_version or 'unknown'}, read by {found.reader}")
    line(
        "written",
        f"text by run {found.document_run_id or 'unknown'} at {found.document_updated_at:%Y-%m-%d %H:%M:%S%z}",
    )
    line("", f"chunk by run {found.chunks_run_id or 'unknown'} at {found.chunk_updated_at:%Y-%m-%d %H:%M:%S%z}")
    space = found.space
    if space is None:
        line("space", f"none any more (the chunking was {found.chunking})")
    else:
        settings = ", ".join(f"{name} {value}" for name, value in space.chunking_settings.items())
        line("space", f"{space.id} ({space.status}): {space.model}, revision {space.revision}")
        line("", f"{space.dimensions} dimensions, {space.distance}, {space.storage}; split with {settings}")
    if not found.served:
        line("", "vector search does not find this chunk now")
    if not found.current:
        line("", "the document has a newer text; ingest again to split it")
