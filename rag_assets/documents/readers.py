"""Readers of a document: `everyone`, or users, groups and tenants by name, as `user:anna` and `group:staff`."""

from collections.abc import Iterable

from rag_assets.documents.text import is_text

EVERYONE = "everyone"
KINDS = ("user", "group", "tenant")
_MAX_NAME = 200

# None: not declared, so everyone who may read the project. (): nobody.
Readers = tuple[str, ...] | None


def check_reader(given: object) -> str:
    """The reader as written; raises ValueError that says how to write one."""
    if given == EVERYONE:
        return EVERYONE
    kind, colon, name = given.partition(":") if isinstance(given, str) else ("", "", "")
    if not colon or kind not in KINDS or not name or name != name.strip() or len(name) > _MAX_NAME or not is_text(name):
        shown = repr(given) if len(repr(given)) <= 100 else repr(given)[:100] + "…"
        raise ValueError(f"{shown} is no reader; write everyone, user:NAME, group:NAME or tenant:NAME")
    return f"{kind}:{name}"


def check_readers(given: object) -> tuple[str, ...]:
    """One reader or several, sorted and each once; none are nobody. Raises ValueError."""
    if isinstance(given, str):
        return (check_reader(given),)
    if not isinstance(given, Iterable) or isinstance(given, bytes | dict):
        raise ValueError(f"{given!r:.100} is no list of readers; write [user:NAME, group:NAME], or [] for nobody")
    return tuple(sorted({check_reader(one) for one in given}))
