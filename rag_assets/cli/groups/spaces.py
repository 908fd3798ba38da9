"""rag-assets spaces: which space serves, by hand; the same code as the asset live_space."""

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rag_assets.db.spaces.spaces import SpaceDefinition
    from rag_assets.pipeline.stages.live_space import Promotion

app = typer.Typer(help="Embedding spaces: what there is, what serves, the way back.", no_args_is_help=True)

SpaceId = Annotated[int, typer.Argument(metavar="ID", help="The number of the space, as `spaces list` shows it.")]


@app.command("list")
def list_spaces(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")] = False,
) -> None:
    """Show every space: what it holds, whether it serves, what is left to do in it."""
    from rag_assets.cli.output import reports
    from rag_assets.cli.runtime import installation
    from rag_assets.db.database import shared_engine
    from rag_assets.pipeline.status import read_spaces

    found = read_spaces(shared_engine(installation.enter()))
    if as_json:
        sys.stdout.write(json.dumps({"spaces": found}) + "\n")
    else:
        reports.spaces(found)


@app.command()
def promote(
    space: SpaceId,
    force: Annotated[
        bool, typer.Option("--force", help="In spite of checks that do not pass, where searches can live with it.")
    ] = False,
) -> None:
    """Let this space serve, if all checks that guard it pass; the one that serves now is kept as the previous one."""
    from rag_assets.cli.runtime import installation
    from rag_assets.db.database import shared_engine
    from rag_assets.pipeline.stages import live_space
    from rag_assets.pipeline.target.wanted_space import target_space

    settings = installation.enter()

    def wanted(kind: str) -> "SpaceDefinition":
        return target_space(settings, kind).definition

    done = live_space.promote_space(shared_engine(settings), settings, space, wanted, force=force)
    for name, reason in done.overridden.items():
        typer.echo(f"rag-assets: warning: {name} does not pass: {reason}; promoted by --force all the same.", err=True)
    _tell(done)


@app.command()
def rollback(
    kind: Annotated[str, typer.Option(help="Of chunks, messages, memories, or a registered table.")] = "chunks",
) -> None:
    """Let the previous space serve again; the one that serves now is held back until it is promoted by hand."""
    from rag_assets.cli.runtime import installation
    from rag_assets.db.database import shared_engine
    from rag_assets.db.reports.remaining_work import remaining_work
    from rag_assets.db.spaces.text_kinds import check_kind
    from rag_assets.pipeline.stages import live_space

    check_kind(kind)
    engine = shared_engine(installation.enter())
    done = live_space.roll_back(engine, kind)
    _tell(done)
    # After the flip: whoever goes back is in a hurry.
    with engine.connect() as connection:
        left = remaining_work(connection, done.space)
    if left.documents or left.texts:
        typer.echo(
            f"rag-assets: warning: space {done.space.id} lacks chunks of {left.documents} documents and vectors of "
            f"{left.texts} texts; run rag-assets {'ingest' if kind == 'chunks' else f'embed {kind}'} to bring them.",
            err=True,
        )


@app.command()
def retire(space: SpaceId) -> None:
    """Drop a space that does not serve, with its vectors and index, at once."""
    from rag_assets.cli.runtime import installation
    from rag_assets.db.database import shared_engine
    from rag_assets.pipeline.stages import live_space

    settings = installation.enter()
    gone = live_space.drop_space(shared_engine(settings), settings, space)
    typer.echo(f"space {gone.id} ({gone.model}, {gone.dimensions} dimensions) is retired; its vectors are gone")


def _tell(done: "Promotion") -> None:
    if not done.promoted:
        typer.echo(f"space {done.space.id} serves already")
        return
    stepped = "" if done.live_before is None else f"; space {done.live_before.id} is the previous one"
    typer.echo(f"space {done.space.id} serves ({done.seconds * 1000:.0f} ms){stepped}")
