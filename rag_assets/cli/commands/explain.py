"""rag-assets explain: where a hit comes from."""

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from uuid import UUID

    from rag_assets.search.analysis.provenance import Provenance


def explain(
    chunk_id: Annotated[str, typer.Argument(help="The id of a hit's chunk, as `search --json` shows it.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")] = False,
) -> None:
    """Show where a chunk comes from: source, document, offsets, space, model, and the runs that wrote it."""
    from rag_assets.cli.runtime import installation
    from rag_assets.db.database import shared_engine
    from rag_assets.search.analysis.provenance import explain_chunk

    wanted = _uuid(chunk_id)
    with shared_engine(installation.enter()).connect() as connection:
        found = explain_chunk(connection, wanted)
    if as_json:
        sys.stdout.write(json.dumps(asdict(found), default=str) + "\n")
    else:
        _show(found)


def _uuid(value: str) -> "UUID":
    from uuid import UUID

    from rag_assets.errors import UsageError

    try:
        return UUID(value)
    except ValueError:
        raise UsageError(f"{value!r} is no chunk's id; take one from `rag-assets search QUESTION --json`.") from None


def _show(found: "Provenance") -> None:
    from rag_assets.cli.output.reports import out

    def line(name: str, value: object) -> None:
        out.print(f"{name:<9} {value}", markup=False)

    line("chunk", f"{found.chunk_id}, {found.token_count:,} tokens, sha256 {found.content_hash}")
    line("document", f"{found.project}/{found.file_path} [{found.char_start}:{found.char_end}]")
    if found.heading_path:
        line("heading", " / ".join(found.heading_path))
    line("source", f"{found.source_uri}, version {found.source_version or 'unknown'}, read by {found.reader}")
    line(
        "written",
        f"text by run {found.document_run_id or 'unknown'} at {found.document_updated_at:%Y-%m-%d %H:%M:%S%z}",
    )
    line("", f"chunk by run {found.chunks_run_id or 'unknown'} at {found.chunk_updated_at:%Y-%m-%d %H:%M:%S%z}")
    space = found.space
    if space is None:
        line("space", f"none any more (its chunking was {found.chunking})")
    else:
        settings = ", ".join(f"{name} {value}" for name, value in space.chunking_settings.items())
        line("space", f"{space.id} ({space.status}): {space.model}, revision {space.revision}")
        line("", f"{space.dimensions} dimensions, {space.distance}, {space.storage}; cut by {settings}")
    if not found.served:
        line("", "searches by meaning do not find this chunk now")
    if not found.current:
        line("", "the document has a newer text; ingest again to cut it anew")
