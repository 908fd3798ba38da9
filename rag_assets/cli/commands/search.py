"""rag-assets search: the chunks that answer a question."""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, Literal

import typer

from rag_assets.errors import UsageError

Mode = Literal["vector", "text", "hybrid"]


def search(
    query: Annotated[str, typer.Argument(help="The question.")],
    project: Annotated[list[str] | None, typer.Option(help="Search this project only; may be repeated.")] = None,
    k: Annotated[int, typer.Option("-k", help="How many hits.")] = 10,
    mode: Annotated[
        Mode | None, typer.Option(help="By meaning (vector), by words (text), or both (hybrid); unset: hybrid.")
    ] = None,
    file_type: Annotated[list[str] | None, typer.Option(help="Only files of this type; may be repeated.")] = None,
    path: Annotated[str | None, typer.Option(help="Only files that match, like *.md or docs/**.")] = None,
    metadata: Annotated[
        str | None, typer.Option(help='Only documents with this metadata, as JSON: {"year": {"$gte": 2020}}.')
    ] = None,
    min_score: Annotated[float | None, typer.Option(help="No hit below this score.")] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Compare all vectors, without the index.")] = False,
    rerank: Annotated[bool, typer.Option("--rerank", help="Let a cross-encoder judge the best hits anew.")] = False,
    mmr: Annotated[float | None, typer.Option(help="Weight of relevance against diversity, 0 to 1.")] = None,
    context: Annotated[int, typer.Option(help="Chunks before and after each hit to show with it.")] = 0,
    timeout_s: Annotated[float | None, typer.Option(help="The longest that the database may work.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")] = False,
) -> None:
    """Find the chunks that answer a question."""
    from rag_assets.cli.runtime import installation
    from rag_assets.db.database import shared_engine
    from rag_assets.search.ranking.rerank import reranker_from_settings
    from rag_assets.search.retriever import Retriever

    wanted = None if metadata is None else _mapping(metadata)
    settings = installation.enter()
    retriever = Retriever(
        shared_engine(settings, "read"),
        ef_search=settings.ef_search,
        reranker=reranker_from_settings(settings) if rerank else None,
    )
    found = retriever.search(
        query,
        k=k,
        project=project or None,
        mode=mode,
        file_type=file_type or None,
        path_glob=path,
        metadata=wanted,
        min_score=min_score,
        exact=exact,
        rerank=settings.rerank_candidates if rerank else 0,
        mmr=mmr,
        context=context,
        timeout_s=timeout_s,
    )
    if as_json:
        sys.stdout.write(json.dumps(asdict(found), default=str) + "\n")
    else:
        from rag_assets.cli.output import reports

        reports.answer(found)


def _mapping(written: str) -> Mapping[str, Any]:
    try:
        value = json.loads(written)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise UsageError(f'--metadata is {written!r}; write a JSON object like {{"author": "Ada"}}.')
    return value
