"""rag-assets status: what is there, what is pending, what failed."""

import json
import sys
from typing import Annotated

import typer


def status(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")] = False,
) -> None:
    """Show database, projects, pending work, failed documents, spaces and indexes."""
    from rag_assets.cli import home
    from rag_assets.db.engine import new_engine
    from rag_assets.db.status import read_status

    engine = new_engine(home.enter())
    try:
        found = read_status(engine)
    finally:
        engine.dispose()
    if as_json:
        sys.stdout.write(json.dumps(found, default=str) + "\n")
    else:
        from rag_assets.cli import show

        show.status(found)
