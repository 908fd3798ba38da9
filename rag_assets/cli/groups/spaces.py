"""rag-assets spaces: promote, roll back and retire embedding spaces, with the code of the asset live_space."""

from typing import TYPE_CHECKING, Annotated

import typer

from rag_assets.cli.options import JsonOption

if TYPE_CHECKING:
    from rag_assets.db.spaces.spaces import SpaceDefinition
    from rag_assets.pipeline.stages.live_space import Promotion

app = typer.Typer(help="Manage embedding spaces: list, promote, roll back, retire.", no_args_is_help=True)

SpaceId = Annotated[int, typer.Argument(metavar="ID", help="Number of the space, from `rag-assets spaces list`.")]


@app.command("list")
def list_spaces(as_json: JsonOption = False) -> None:
    """List all spaces: model, vectors, index, whether it is live, and the work that remains."""
    from rag_assets.cli.output.console import print_json
    from rag_assets.cli.output.status import print_spaces
    from rag_assets.cli.runtime import installation
    from rag_assets.db.database import shared_engine
    from rag_assets.pipeline.status import read_spaces

    spaces = read_spaces(shared_engine(installation.enter()))
    if as_json:
        print_json({"spaces": spaces})
    else:
        print_spaces(spaces)


@app.command()
def promote(
    space: SpaceId,
    force: Annotated[
        bool, typer.Option("--force", help="Promote despite failed checks that leave the space searchable.")
    ] = False,
) -> None:
    """Make a space live if all its checks pass. The live space becomes the previous one."""
    from rag_assets.cli.output.console import print_error
    from rag_assets.cli.runtime import installation
    from rag_assets.db.database import writable_engine
    from rag_assets.pipeline.stages import live_space
    from rag_assets.pipeline.target.wanted_space import target_space

    settings = installation.enter()

    def wanted(kind: str) -> "SpaceDefinition":
        return target_space(settings, kind).definition

    done = live_space.promote_space(writable_engine(settings), settings, space, wanted, force=force)
    for name, reason in done.overridden.items():
        print_error(f"rag-assets: warning: {name} does not pass: {reason}; promoted because of --force.")
    _print_promotion(done)


@app.command()
def rollback(
    kind: Annotated[
        str, typer.Option(help="chunks, messages, memories, or the name of a registered table.")
    ] = "chunks",
) -> None:
    """Make the previous space live again. The space that was live is not promoted again except by hand."""
    from rag_assets.cli.runtime import installation
    from rag_assets.db.database import writable_engine
    from rag_assets.db.reports.remaining_work import remaining_work
    from rag_assets.db.spaces.text_kinds import check_kind
    from rag_assets.pipeline.stages import live_space

    check_kind(kind)
    engine = writable_engine(installation.enter())
    done = live_space.roll_back(engine, kind)
    _print_promotion(done)
    # After the rollback, which must not wait for this.
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
    """Drop a space that is not live, with its vectors and index."""
    from rag_assets.cli.runtime import installation
    from rag_assets.db.database import writable_engine
    from rag_assets.pipeline.stages import live_space

    settings = installation.enter()
    gone = live_space.drop_space(writable_engine(settings), settings, space)
    typer.echo(f"space {gone.id} ({gone.model}, {gone.dimensions} dimensions) is retired; its vectors are gone")


def _print_promotion(done: "Promotion") -> None:
    if not done.promoted:
        typer.echo(f"space {done.space.id} is live already")
        return
    previous = "" if done.live_before is None else f"; space {done.live_before.id} is the previous one"
    typer.echo(f"space {done.space.id} is live ({done.seconds * 1000:.0f} ms){previous}")
