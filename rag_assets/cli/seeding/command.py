"""rag-assets seed: data to develop with, over every table."""

import json
import sys
from contextlib import nullcontext
from dataclasses import asdict
from typing import Annotated

import typer

from rag_assets.errors import UsageError


def seed(
    size: Annotated[
        str, typer.Option(help="small: 6 users, 24 conversations and their forks; large: 60, 960.")
    ] = "small",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")] = False,
) -> None:
    """Add users, conversations, memories and adapters to develop with; ingest Python's topics where they are missing.

    The data are the same every time, and what is there already is left alone.
    """
    from rag_assets.cli.commands import ingest
    from rag_assets.cli.output import progress_bars
    from rag_assets.cli.runtime import installation
    from rag_assets.cli.seeding.load import seed as add_missing
    from rag_assets.cli.seeding.plan import SIZES
    from rag_assets.db.database import shared_engine
    from rag_assets.db.reports.counts import count_project
    from rag_assets.documents.sources import TOPICS_NAME

    if size not in SIZES:
        raise UsageError(f"--size is {size!r}; choose one of {', '.join(SIZES)}.")
    engine = shared_engine(installation.enter())
    with nullcontext() if as_json else progress_bars.shown():
        added = asdict(add_missing(engine, size))
    if as_json:
        sys.stdout.write(json.dumps({"size": size, "added": added}) + "\n")
    else:
        shown = ", ".join(f"{count} {name}" for name, count in added.items() if count) or "nothing; all was there"
        sys.stdout.write(f"added {shown}\n")
    with engine.connect() as connection:
        topics = count_project(connection, TOPICS_NAME)
    if not topics.documents and not as_json:
        ingest.ingest(project=TOPICS_NAME)
