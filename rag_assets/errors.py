"""The exceptions of this package. A message says what happened, names the value, and says what to do next."""

import re
from collections.abc import Sequence

# What a terminal or a log obeys or hides instead of showing it: C0 and C1 controls, zero-width characters, marks that
# reverse the direction of text, tags, and lone surrogates, which no encoding can write.
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff"
    "\ufff9-\ufffb\U000e0000-\U000e007f]"
)


class RagAssetsError(Exception):
    """Base class of every exception that this package raises on purpose.

    `exit_code` is what the command line returns for it. `transient` is True where the same call can succeed later.
    """

    exit_code = 1
    transient = False

    def __str__(self) -> str:
        return escape_line(super().__str__())


class UsageError(RagAssetsError):
    """A request that cannot be carried out: a wrong value, an unknown name, a missing package."""

    exit_code = 2


class RunInterruptedError(RagAssetsError):
    """The user interrupted a run. What it had committed stays."""

    exit_code = 130

    def __init__(self) -> None:
        super().__init__("interrupted; what was written stays, and the next run continues from there.")


class NotFoundError(UsageError):
    """A project, a document, a chunk or a row that the request names does not exist."""


class SourceError(UsageError):
    """A source of documents cannot be opened or listed."""


class SessionError(UsageError):
    """A session token is unknown, revoked or expired."""


class ServiceError(RagAssetsError):
    """Something outside this process does not answer or refuses: the database, the files of a model."""

    exit_code = 3
    transient = True


class BusyError(ServiceError):
    """Another run held what this one needs for longer than this one may wait."""

    transient = False


class RefusedError(ServiceError):
    """The database, or an embedding server, refuses something as long as a privilege, a setting or its state stays."""

    transient = False


class DocumentError(RagAssetsError):
    """One document cannot be read. The message is stored with its row as the reason."""


class IntegrityError(RagAssetsError):
    """Going on would lose or damage stored data, so nothing was done."""


def escape_controls(text: str) -> str:
    """The text with its control and invisible characters written as escapes; tabs and newlines stay."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def escape_line(text: str) -> str:
    """The text on one line of a terminal or a log, with its control characters as escapes."""
    return escape_controls(text.replace("\n", " "))


def unknown_name_message(name: str, known: Sequence[str], what: str = "setting") -> str:
    """Text of an error about an unknown name: it suggests the most similar known one and lists them all."""
    from difflib import get_close_matches

    # A setting may be written as its environment variable.
    plain = name.lower().removeprefix("rag_assets_")
    found = get_close_matches(plain, known, n=1, cutoff=0.0)
    return f"there is no {what} {name!r}; did you mean {found[0]!r}? (There are {', '.join(known)}.)"


def pydantic_message(message: str) -> str:
    """A message of pydantic as a clause of a sentence, in the words of YAML: a list, a mapping."""
    clause = message.removeprefix("Value error, ")
    clause = clause[:1].lower() + clause[1:]
    return clause.replace("valid tuple", "list").replace("valid dictionary", "mapping")
