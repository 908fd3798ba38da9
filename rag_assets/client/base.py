"""What both clients are made from: settings, a database URL, an encoder."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from sqlalchemy import URL

from rag_assets.errors import UsageError
from rag_assets.settings.settings import Settings, load_settings, resolve_settings

if TYPE_CHECKING:
    from rag_assets.db.models import EmbeddingSpace
    from rag_assets.embedding.encoder import Encoder

GRACE_S = 10.0


def client_settings(given: Settings | str | URL | None) -> Settings:
    if given is None:
        return load_settings()
    if isinstance(given, Settings):
        return given
    if isinstance(given, URL):
        given = given.render_as_string(hide_password=False)
    if isinstance(given, str):
        return resolve_settings({"database_url": given})
    raise UsageError(f"a client takes a Settings, a database URL or nothing, not a {type(given).__name__}.")


def database_place(settings: Settings) -> str:
    """Where the database is, without user and password."""
    if settings.database_url is None:
        return f"the embedded server in {settings.state_dir}"
    from rag_assets.db.connections.urls import database_url, format_address

    url = database_url(settings)
    return f"{format_address(url)}/{url.database or ''}"


def refuse_closed(closed: bool) -> None:
    if closed:
        raise UsageError("the client is closed; make another one.")


def encoder_factory(encoder: "Encoder | None") -> "Callable[[EmbeddingSpace], Encoder] | None":
    return None if encoder is None else lambda _space: encoder
