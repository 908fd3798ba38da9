"""rag-assets db: migrations, the address and the embedded server."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sqlalchemy import Engine

app = typer.Typer(help="Manage the database: migrations, address, embedded server.", no_args_is_help=True)


@app.command()
def upgrade(revision: Annotated[str, typer.Argument(help="The revision to upgrade to.")] = "head") -> None:
    """Upgrade the schema."""
    from rag_assets.db.schema import migrations

    with _engine() as engine:
        migrations.upgrade(engine, revision)
        typer.echo(migrations.current_revision(engine))


@app.command()
def downgrade(
    revision: Annotated[str, typer.Argument(help="The revision to downgrade to; base removes everything.")],
) -> None:
    """Downgrade the schema. Tables of later revisions are dropped with their rows."""
    from rag_assets.db.schema import migrations

    with _engine() as engine:
        migrations.downgrade(engine, revision)
        typer.echo(migrations.current_revision(engine) or "base")


@app.command()
def current() -> None:
    """Print the revision of the schema."""
    from rag_assets.db.schema import migrations

    with _engine() as engine:
        typer.echo(migrations.current_revision(engine) or "none: run rag-assets db upgrade")


@app.command()
def check() -> None:
    """Compare the schema with the models; exit code 2 if they differ."""
    from rag_assets.db.schema import migrations

    with _engine() as engine:
        migrations.check(engine)
    typer.echo("models and database are the same")


@app.command()
def roles(
    apply: Annotated[bool, typer.Option("--apply", help="Run the statements instead of printing them.")] = False,
    new_key: Annotated[
        bool,
        typer.Option(
            "--new-key", help="Replace the key that signs who reads: older declarations show nothing any more."
        ),
    ] = False,
) -> None:
    """Print the SQL of the roles that see what a principal may: reader, writer and search, for an administrator."""
    from rag_assets.cli.runtime import installation
    from rag_assets.db.access.roles import ROLES, apply_roles, role_statements
    from rag_assets.db.access.signing_key import renew_signing_key
    from rag_assets.db.database import shared_engine
    from rag_assets.db.session.server_errors import explained_errors

    with explained_errors(), shared_engine(installation.enter()).begin() as connection:
        if new_key:
            renew_signing_key(connection)
            typer.echo("there is a new key; what was signed before shows nothing any more")
        if apply:
            apply_roles(connection)
            typer.echo(f"the roles {', '.join(ROLES)} have their grants and policies")
        if apply or new_key:
            return
        driver = connection.connection.driver_connection
        for statement in role_statements(connection):
            typer.echo(f"{statement.as_string(driver)};")


@app.command()
def create_tables() -> None:
    """Create the tables that installed packages register and that do not exist; change no existing one."""
    from rag_assets.cli.runtime import installation
    from rag_assets.db.database import writable_engine
    from rag_assets.db.spaces.registered_tables import create_missing_tables

    for table in create_missing_tables(writable_engine(installation.enter())):
        typer.echo(f"created {table}")


@app.command()
def url() -> None:
    """Print the address of the database with its password, for psql and other clients."""
    from rag_assets.cli.runtime import installation
    from rag_assets.db.connections.engines import database_url

    address = database_url(installation.enter()).set(drivername="postgresql")
    typer.echo(address.render_as_string(hide_password=False))


@app.command(context_settings={"ignore_unknown_options": True})
def psql(
    arguments: Annotated[
        list[str] | None, typer.Argument(help="Arguments of psql, like -c 'SELECT 1' or -f FILE.", show_default=False)
    ] = None,
) -> None:
    """Open psql on the database. Its password is not in the list of processes, unlike with `psql "$(… db url)"`."""
    from rag_assets.cli.runtime import installation
    from rag_assets.cli.runtime.psql import run_psql

    raise typer.Exit(run_psql(installation.enter(), arguments or []))


@app.command()
def stop() -> None:
    """Stop the embedded server."""
    from rag_assets.cli.runtime import installation
    from rag_assets.db.server.server import EmbeddedServer

    settings = installation.enter()
    if settings.database_url is not None:
        typer.echo("RAG_ASSETS_DATABASE_URL is set: that server is not ours to stop")
        return
    stopped = EmbeddedServer.at(settings.state_dir).stop()
    typer.echo("stopped" if stopped else "it was not running")


@contextmanager
def _engine() -> "Iterator[Engine]":
    """An engine that leaves the schema as it is. The shared engine would upgrade it."""
    from rag_assets.cli.runtime import installation
    from rag_assets.db.database import new_engine

    engine = new_engine(installation.enter())
    try:
        yield engine
    finally:
        engine.dispose()
