"""The few exceptions of this package; each message says what, which value, and what to do next."""

from collections.abc import Sequence


class RagAssetsError(Exception):
    """Base of all that this package raises on purpose; `exit_code` is what the command line returns, `may_pass` whether
    the same may go well a little later."""

    exit_code = 1
    may_pass = False


class UsageError(RagAssetsError):
    """The caller asked for something that cannot be: a wrong value, an unknown name, a missing package."""

    exit_code = 2


class RunInterruptedError(RagAssetsError):
    """The user ended a run; what it had committed stays."""

    exit_code = 130

    def __init__(self) -> None:
        super().__init__("interrupted; what was written stays, and running again goes on from there.")


class SourceError(UsageError):
    """A source of documents cannot be opened or listed."""


class SessionError(UsageError):
    """Nobody is signed in by this token: it is unknown, revoked or expired."""


class ServiceError(RagAssetsError):
    """Something outside this process is away or refuses: the database, the model's files."""

    exit_code = 3
    may_pass = True


class BusyError(ServiceError):
    """Another run has had in hand what this one needs, for as long as this one could wait."""

    may_pass = False


class DocumentError(RagAssetsError):
    """One document cannot be read; the message is the reason that is kept with its row."""


class IntegrityError(RagAssetsError):
    """Going on would lose or damage what is stored, so nothing was done."""


def nearest(key: str, known: Sequence[str], what: str = "setting") -> str:
    """That there is no such setting, and which one was meant."""
    from difflib import get_close_matches

    # By the name of its variable, too.
    plain = key.lower().removeprefix("rag_assets_")
    found = get_close_matches(plain, known, n=1, cutoff=0.0)
    return f"there is no {what} {key!r}; did you mean {found[0]!r}? (There are {', '.join(known)}.)"


def reason(message: str) -> str:
    """What pydantic has against a value, within a sentence, and in the words of YAML."""
    said = message.removeprefix("Value error, ")
    said = said[:1].lower() + said[1:]
    return said.replace("valid tuple", "list").replace("valid dictionary", "mapping")
