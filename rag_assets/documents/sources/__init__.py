"""Sources of documents: folders, files, URLs of fsspec and of other packages, rows, Python's own documentation."""

import os
from collections.abc import Sequence
from pathlib import Path

from rag_assets.documents.sources.base import Source, SourceDocument, SourceFile
from rag_assets.documents.sources.globs import Selection
from rag_assets.documents.sources.python_topics import TOPICS_NAME, TOPICS_URI, TopicsSource
from rag_assets.documents.sources.rows.address import is_row_address
from rag_assets.documents.sources.rows.asset_rows import ASSET_SCHEME, is_asset_address
from rag_assets.documents.sources.rows.given import GivenSource, source_name
from rag_assets.documents.sources.source_types import find_source_type, open_source_type
from rag_assets.documents.sources.uri import canonical_uri, check_protocol, is_local, url_protocols
from rag_assets.documents.sources.web.address import is_site_address
from rag_assets.errors import UsageError

__all__ = [
    "TOPICS_NAME",
    "TOPICS_URI",
    "GivenSource",
    "Source",
    "SourceDocument",
    "SourceFile",
    "canonical_uri",
    "open_source",
    "source_name",
]


def open_source(
    uri: "str | os.PathLike[str]",
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    max_bytes: int | None = None,
    state_dir: Path | None = None,
    follow_links: bool | None = None,
    project: str | None = None,
    password: str | None = None,
) -> Source:
    """Open a folder, a file, a URL or TOPICS_URI.

    A URL is one of fsspec (also a chain: `zip://docs/**::s3://bucket/a.zip`) or of a registered source type.
    Globs are written like lines of .gitignore: `*.md` at any depth, `docs/**`, `/only-at-the-top.md`. Names that begin
    with a dot, caches and formats without text are left out unless an include glob spells them (see Selection).
    A file of more than `max_bytes` is listed, but reading it raises DocumentError. Files below `state_dir` (unset: that
    of the settings) are not listed. With `follow_links` (unset: that of the settings), links to files outside of a
    folder are read; without it, reading one raises WithheldError. A database of rows is opened with `password`, else
    with the one that is known for `project`, or that was kept for this user of this database.

    Raises UsageError for an unknown protocol, a missing package, an invalid glob or credentials in the address, and
    SourceError for a local path that does not exist.
    """
    canonical = canonical_uri(uri)
    if is_asset_address(canonical):
        raise UsageError(
            f"this project has the rows of the asset {canonical.removeprefix(ASSET_SCHEME)} in Dagster; "
            "materialize the asset there, then the project's partition of raw_documents"
        )
    if is_site_address(canonical):
        from rag_assets.documents.sources.web.site import SiteSource
        from rag_assets.settings.settings import load_settings

        folder = Path(state_dir or load_settings().state_dir)
        return SiteSource(canonical, Selection(include, exclude), max_bytes, folder)
    if is_row_address(canonical):
        from rag_assets.documents.sources.rows.source import open_rows
        from rag_assets.settings.settings import load_settings

        return open_rows(
            canonical,
            Selection(include, exclude),
            max_bytes,
            state_dir=Path(state_dir or load_settings().state_dir),
            project=project,
            password=password,
        )
    source_type = find_source_type(url_protocols(canonical)[0])
    if source_type is not None:
        return open_source_type(source_type, canonical, include=include, exclude=exclude, max_bytes=max_bytes)
    selection = Selection(include, exclude)
    if canonical == TOPICS_URI:
        return TopicsSource(selection, max_bytes)
    if is_local(canonical):
        from rag_assets.documents.sources.local import open_local
        from rag_assets.settings.settings import load_settings

        as_written = canonical + os.sep if os.fspath(uri).endswith(os.sep) else canonical
        settings = load_settings()
        return open_local(
            as_written,
            selection,
            max_bytes,
            os.path.abspath(state_dir or settings.state_dir),  # noqa: PTH100
            follow_links=settings.follow_links if follow_links is None else follow_links,
        )
    for protocol in url_protocols(canonical):
        check_protocol(protocol)
    from rag_assets.documents.sources.remote import RemoteSource

    return RemoteSource(canonical, selection, max_bytes)
