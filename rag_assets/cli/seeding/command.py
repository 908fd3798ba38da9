"""rag-assets seed: example data in every table."""

from dataclasses import asdict
from typing import Annotated

import typer

from rag_assets.cli.options import JsonOption
from rag_assets.errors import UsageError


def seed(
    size: Annotated[
        str, typer.Option(help="small: 6 users with 24 conversations; large: 60 users with 960.")
    ] = "small",
    as_json: JsonOption = False,
) -> None:
    """Add example users, conversations, memories and adapters, and ingest Python's topics if they are missing.

    The data are the same every time, and rows that exist are not changed.
    """
    from rag_assets.cli.commands import ingest
    from rag_assets.cli.output.console import print_json
    from rag_assets.cli.output.progress_bars import show_progress
    from rag_assets.cli.runtime import installation
    from rag_assets.cli.seeding.load import add_example_data
    from rag_assets.cli.seeding.plan import SIZES
    from rag_assets.db.database import writable_engine
    from rag_assets.db.reports.counts import count_project
    from rag_assets.documents.sources import TOPICS_NAME

    if size not in SIZES:
        raise UsageError(f"--size is {size!r}; choose one of {', '.join(SIZES)}.")
    engine = writable_engine(installation.enter())
    with show_progress(visible=not as_json):
        added = asdict(add_example_data(engine, size))
    if as_json:
        print_json({"size": size, "added": added})
    else:
        counts = ", ".join(f"{count:,} {name}" for name, count in added.items() if count)
        typer.echo(f"added {counts or 'nothing; everything exists already'}")
    with engine.connect() as connection:
        topics = count_project(connection, TOPICS_NAME)
    if not topics.documents and not as_json:
        ingest.ingest(project=TOPICS_NAME)
