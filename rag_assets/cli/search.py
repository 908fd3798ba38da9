"""rag-assets search: the chunks that are nearest to a question."""

import json
import sys
from dataclasses import asdict
from typing import Annotated, Literal

import typer

Mode = Literal["vector", "text", "hybrid"]


def search(
    query: Annotated[str, typer.Argument(help="The question.")],
    project: Annotated[str | None, typer.Option(help="Search this project only.")] = None,
    k: Annotated[int, typer.Option("-k", help="How many hits.")] = 10,
    mode: Annotated[Mode, typer.Option(help="By meaning, by words, or both.")] = "vector",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")] = False,
) -> None:
    """Find the chunks that are nearest in meaning to a question."""
    from rag_assets.cli import home
    from rag_assets.db.engine import shared_engine
    from rag_assets.search.retriever import Retriever

    settings = home.enter()
    found = Retriever(shared_engine(settings), ef_search=settings.ef_search).search(
        query, k=k, project=project, mode=mode
    )
    if as_json:
        sys.stdout.write(json.dumps(asdict(found), default=str) + "\n")
    else:
        from rag_assets.cli import show

        show.answer(found)
