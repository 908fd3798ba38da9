"""Languages of texts: the names of the server's text search configurations, which say what forms of a word are one."""

from difflib import get_close_matches
from typing import Any

from sqlalchemy import Connection, text

from rag_assets.errors import UsageError

DEFAULT_LANGUAGE = "english"

_KNOWN = text("SELECT cfgname FROM pg_ts_config WHERE pg_ts_config_is_visible(oid) ORDER BY cfgname")


def check_language(connection: Connection, name: Any) -> str:
    """The name itself; raises UsageError, with the nearest known name, when this server does not know it."""
    known = connection.scalars(_KNOWN).all()
    if name in known:
        return str(name)
    nearest = get_close_matches(str(name).lower(), known, n=1, cutoff=0.5)
    raise UsageError(
        f"the server does not know the language {name!r}; "
        f"{f'did you mean {nearest[0]}' if nearest else 'simple serves any language, word by word'}? "
        f"(It knows {', '.join(known)}.)"
    )
