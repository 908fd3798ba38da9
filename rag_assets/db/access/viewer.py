"""Declare to the database for whom a transaction reads; its policies show the rows of that viewer alone."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from rag_assets.db.connections.compiled import CompiledStatement, compile_statement
from rag_assets.db.connections.execute import StatementRunner, send, send_both
from rag_assets.documents.readers import check_reader
from rag_assets.errors import ServiceError, UsageError

SEARCH_ROLE = "rag_assets_search"

# A role alone may be that of another database of the server.
_HAS_POLICIES = (
    "EXISTS (SELECT FROM pg_policy WHERE polrelid = CAST('rag.documents' AS regclass) "
    "AND polname = 'rag_assets_declared')"
)
HAS_POLICIES = text(f"SELECT {_HAS_POLICIES}")
_RESTRICTS = (
    "SELECT CAST(:limited AS boolean) OR EXISTS (SELECT FROM rag.documents WHERE readers IS NOT NULL) "
    "OR EXISTS (SELECT FROM rag.projects WHERE settings ? 'readers') AS restricts OFFSET 0"
)
# The signature is for this transaction alone. Nothing is declared where nothing restricts anybody: that costs less.
_DECLARE = text(
    "SELECT CASE WHEN NOT restricts THEN 'nothing' "  # noqa: S608
    f"WHEN NOT {_HAS_POLICIES} THEN 'no policies' "
    # JIT compilation takes longer than a search may.
    "ELSE CASE WHEN set_config('jit', 'off', true) = 'off' "
    "AND set_config('rag.viewer', rag.sign_viewer(CAST(:facts AS jsonb)), true) <> '' "
    "AND set_config('role', CAST(:role AS text), true) <> '' THEN 'declared' END END "
    f"FROM ({_RESTRICTS}) r"
)
# One statement for both: its own rows come only where nothing restricts anybody.
_UNLESS_RESTRICTED = (
    "SELECT r.restricts, s.* FROM ({restricts}) r "
    "LEFT JOIN LATERAL (SELECT true AS is_row, q.* FROM ({statement}) q WHERE NOT r.restricts) s ON true"
)
_RESTRICTED_TO = "rag_assets_viewer"
# As part of the same transaction as a search, before it.
_compiled_declaration = cache(lambda: compile_statement(_DECLARE))


@dataclass(frozen=True, slots=True)
class Viewer:
    """Whom a client reads for: a user, groups and a tenant, each by name.

    `projects`: the ids of the projects that it may read; None for all. `is_filtered`: each query has them as a
    filter, too, so that policies are needed only where documents or projects declare their readers.
    """

    user: str | None = None
    groups: Sequence[str] = ()
    tenant: str | None = None
    projects: Sequence[UUID] | None = None
    is_filtered: bool = False

    def __post_init__(self) -> None:
        # Hashable, and checked once.
        if isinstance(self.groups, str):
            raise UsageError(f"the groups are the text {self.groups!r}; give a list of names.")
        object.__setattr__(self, "groups", tuple(self.groups))
        if self.projects is not None:
            object.__setattr__(self, "projects", tuple(self.projects))
        try:
            for reader in self.readers:
                check_reader(reader)
        except ValueError as error:
            raise UsageError(f"this viewer cannot be: {error}.") from None

    @property
    def readers(self) -> list[str]:
        """Its names as documents declare their readers."""
        of_user = [] if self.user is None else [f"user:{self.user}"]
        of_tenant = [] if self.tenant is None else [f"tenant:{self.tenant}"]
        return [*of_user, *(f"group:{group}" for group in self.groups), *of_tenant]

    def facts(self) -> str:
        """The JSON text that is signed."""
        projects = None if self.projects is None else [str(one) for one in self.projects]
        return json.dumps({"readers": self.readers, "projects": projects, "user": self.user})


_current: ContextVar[Viewer | None] = ContextVar("viewer", default=None)


def current_viewer() -> Viewer | None:
    """The viewer that this task or thread reads for; None for the owner, who sees everything."""
    return _current.get()


@contextmanager
def viewing_as(viewer: Viewer | None) -> Iterator[None]:
    """Read for this viewer inside the block."""
    token = _current.set(viewer)
    try:
        yield
    finally:
        _current.reset(token)


def declare_viewer(connection: Connection, viewer: Viewer) -> None:
    """In the transaction of this connection, see what the viewer may read, and nothing else, until its end.

    Raises ServiceError where the roles do not exist. Does nothing where no document or project restricts its readers,
    and the viewer is not limited to projects.
    """
    if _is_declared(connection.scalar(_DECLARE, _declaration_values(viewer))):
        connection.execution_options(**{_RESTRICTED_TO: viewer})


class ChangedRestrictionError(Exception):
    """A statement was sent for a viewer who is restricted, or is not, and the database says otherwise."""


class ViewerDeclaration:
    """Sends each statement of a runner for a viewer, whom policies are expected to restrict or not."""

    def __init__(self, viewer: Viewer, *, restricts: bool) -> None:
        self.viewer = viewer
        self.restricts = restricts
        self._values = _declaration_values(viewer)

    def send(self, driver: Any, statement: CompiledStatement, values: dict[str, Any]) -> list[tuple[Any, ...]]:
        """The rows; raises ChangedRestrictionError where the statement was made for the other case."""
        if self.restricts:
            answers, rows = send_both(driver, _compiled_declaration(), self._values, statement, values)
            self._expect(restricts=_is_declared(answers[0][0]))
            return rows
        alone = CompiledStatement(_unless_restricted(statement.sql), statement.fixed)
        found = send(driver, alone, values | {"limited": self._values["limited"]})
        self._expect(restricts=found[0][0])
        return [row[2:] for row in found if row[1]]

    def _expect(self, *, restricts: bool) -> None:
        if restricts != self.restricts:
            self.restricts = restricts
            raise ChangedRestrictionError


@lru_cache(maxsize=256)
def _unless_restricted(statement: str) -> str:
    restricts = compile_statement(text(_RESTRICTS)).sql
    return _UNLESS_RESTRICTED.format(restricts=restricts, statement=statement)


def _declaration_values(viewer: Viewer) -> dict[str, Any]:
    limited = viewer.projects is not None and not viewer.is_filtered
    return {"role": SEARCH_ROLE, "facts": viewer.facts(), "limited": limited}


def _is_declared(outcome: Any) -> bool:
    if outcome in ("declared", "nothing"):
        return bool(outcome == "declared")
    raise ServiceError(
        f"the database has no policies for the role {SEARCH_ROLE}, which reads for a viewer; run rag-assets db "
        "roles --apply, or let an administrator run what rag-assets db roles prints."
    )


def restricted_viewer(connection: StatementRunner) -> Viewer | None:
    """The viewer whose rows alone policies show on this connection."""
    if isinstance(connection, Connection):
        viewer: Viewer | None = connection.get_execution_options().get(_RESTRICTED_TO)
        return viewer
    declaration = connection.sender
    return declaration.viewer if isinstance(declaration, ViewerDeclaration) and declaration.restricts else None


def is_restricted(connection: StatementRunner) -> bool:
    """Whether policies decide what this connection sees."""
    return restricted_viewer(connection) is not None
