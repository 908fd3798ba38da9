"""rag-assets search: find the chunks that answer a question."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from rag_assets.cli.options import JsonOption
from rag_assets.errors import UsageError

if TYPE_CHECKING:
    from rag_assets.search.request import Options
    from rag_assets.search.results import Answer
    from rag_assets.settings.settings import Settings

Mode = Literal["vector", "text", "hybrid"]
Operators = Literal["quoted", "all", "none"]


def search(
    query: Annotated[str, typer.Argument(help="The question, or keywords.")],
    project: Annotated[list[str] | None, typer.Option(help="Search this project only; repeatable.")] = None,
    k: Annotated[int, typer.Option("-k", help="Number of hits.")] = 10,
    offset: Annotated[int, typer.Option(help="Number of hits to skip, for the next page.")] = 0,
    distinct: Annotated[
        bool, typer.Option(help="Of chunks with the same text, show one, with the places of the others.")
    ] = True,
    mode: Annotated[
        Mode | None, typer.Option(help="Vector search, keyword search (text), or both (hybrid). Without it: hybrid.")
    ] = None,
    operators: Annotated[
        Operators,
        typer.Option(help='What excludes in keyword search: -"quoted" phrases; all, -words as well; none, nothing.'),
    ] = "quoted",
    file_type: Annotated[
        list[str] | None, typer.Option(help="Only files of this type, like markdown or pdf; repeatable.")
    ] = None,
    path: Annotated[
        str | None, typer.Option(help="Only files whose path matches this glob, as for --include: *.md, docs/**.")
    ] = None,
    metadata: Annotated[
        str | None, typer.Option(help='Only documents with this metadata, a JSON object: {"year": {"$gte": 2020}}.')
    ] = None,
    min_score: Annotated[float | None, typer.Option(help="Lowest score of a hit.")] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Compare all vectors instead of using the index.")] = False,
    rerank: Annotated[
        bool, typer.Option("--rerank", help="Rerank the best hits with the cross-encoder of RAG_ASSETS_RERANKER.")
    ] = False,
    mmr: Annotated[
        float | None, typer.Option(help="Diversify the hits: weight of relevance against diversity, 0 to 1.")
    ] = None,
    context: Annotated[int, typer.Option(help="Number of chunks to show before and after each hit.")] = 0,
    timeout_s: Annotated[float | None, typer.Option(help="Longest time in the database, in seconds.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Find the chunks that answer a question."""
    from rag_assets.cli.output.answers import print_answer
    from rag_assets.cli.output.console import print_json
    from rag_assets.cli.runtime import installation
    from rag_assets.serve.running import ask_running_server

    metadata_filter = None if metadata is None else _parse_metadata(metadata)
    settings = installation.enter()
    options: Options = {
        "k": k,
        "offset": offset,
        "distinct": distinct,
        "project": project or None,
        "mode": mode,
        "operators": operators,
        "file_type": file_type or None,
        "path_glob": path,
        "metadata": metadata_filter,
        "min_score": min_score,
        "exact": exact,
        "rerank": settings.rerank_candidates if rerank else 0,
        "mmr": mmr,
        "context": context,
        "timeout_s": timeout_s,
    }
    answer = ask_running_server(settings, query, options) or _search(settings, query, options)
    if as_json:
        print_json(asdict(answer))
    else:
        print_answer(answer)


def _search(settings: "Settings", query: str, options: "Options") -> "Answer":
    from rag_assets.db.database import shared_engine
    from rag_assets.search.ranking.rerank import reranker_from_settings
    from rag_assets.search.retriever import Retriever

    retriever = Retriever(
        shared_engine(settings, "read"),
        ef_search=settings.ef_search,
        reranker=reranker_from_settings(settings) if options["rerank"] else None,
    )
    return retriever.search(query, **options)


def _parse_metadata(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise UsageError(f'--metadata is {text!r}; write a JSON object like {{"author": "Ada"}}.')
    return value
