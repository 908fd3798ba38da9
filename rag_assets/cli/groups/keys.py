"""rag-assets keys: who may ask `rag-assets serve`, and about which projects."""

import re
from datetime import timedelta
from typing import Annotated, Any

import typer

from rag_assets.cli.options import JsonOption
from rag_assets.errors import UsageError

app = typer.Typer(help="Manage the API keys of callers of `rag-assets serve`.", no_args_is_help=True)

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="A name for the key: who uses it, and for what.")],
    project: Annotated[list[str] | None, typer.Option(help="It may read this project only; repeatable.")] = None,
    group: Annotated[list[str] | None, typer.Option(help="A group that its caller belongs to; repeatable.")] = None,
    user: Annotated[str | None, typer.Option(help="The user whose key it is, as documents declare it.")] = None,
    tenant: Annotated[str | None, typer.Option(help="The tenant that its caller belongs to.")] = None,
    write: Annotated[bool, typer.Option("--write", help="It may also write conversations and memories.")] = False,
    expires: Annotated[str | None, typer.Option(help="Lifetime, like 90d, 12h or 30m. Without it: for ever.")] = None,
) -> None:
    """Make a key and print it on stdout. It is printed this once: only its hash is stored."""
    from rag_assets.cli.runtime import installation
    from rag_assets.db.database import writable_engine
    from rag_assets.repositories.base import translate_errors
    from rag_assets.serve.access.keys import add_key

    lifetime = None if expires is None else _parse_lifetime(expires)
    with translate_errors(), writable_engine(installation.enter()).begin() as connection:
        key = add_key(
            connection,
            name,
            projects=project or (),
            groups=group or (),
            user=user,
            tenant=tenant,
            may_write=write,
            lifetime=lifetime,
        )
    typer.echo(key.token)


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List all keys, also revoked and expired ones, without their tokens."""
    from rag_assets.cli.output.console import new_table, out, print_json
    from rag_assets.cli.runtime import installation
    from rag_assets.db.database import shared_engine
    from rag_assets.serve.access.keys import list_keys

    with shared_engine(installation.enter()).connect() as connection:
        keys = list_keys(connection)
    if as_json:
        print_json({"keys": keys})
        return
    table = new_table("key", "projects", "caller", "may", "expires", "state")
    for key in keys:
        projects = "all" if key["projects"] is None else ", ".join(key["projects"]) or "none any more"
        expires = "never" if key["expires_at"] is None else f"{key['expires_at']:%Y-%m-%d %H:%M}"
        may = "read and write" if key["may_write"] else "read"
        table.add_row(key["name"], projects, ", ".join(_caller(key)), may, expires, _state(key))
    out.print(table)


@app.command()
def revoke(name: Annotated[str, typer.Argument(help="The name of the key.")]) -> None:
    """Revoke a key. A running server refuses it after 5 seconds at most."""
    from rag_assets.cli.runtime import installation
    from rag_assets.db.database import writable_engine
    from rag_assets.serve.access.keys import revoke_key

    with writable_engine(installation.enter()).begin() as connection:
        revoke_key(connection, name)
    typer.echo(f"{name} is revoked", err=True)


def _caller(key: dict[str, Any]) -> list[str]:
    named = ((kind, key[kind]) for kind in ("user", "tenant") if key[kind] is not None)
    return [*(f"{kind}:{name}" for kind, name in named), *(f"group:{name}" for name in key["groups"])]


def _state(key: dict[str, Any]) -> str:
    if key["valid"]:
        return "valid"
    return "revoked" if key["revoked_at"] else "expired"


def _parse_lifetime(text: str) -> timedelta:
    found = re.fullmatch(r"([0-9]{1,9})([mhdw])", text.strip())
    if found is None or not int(found[1]):
        raise UsageError(f"--expires is {text!r}; write a number and m, h, d or w, like 90d.")
    try:
        return timedelta(**{_UNITS[found[2]]: int(found[1])})
    except OverflowError:
        raise UsageError(f"--expires is {text!r}; give 100 years at most, or leave it out.") from None
