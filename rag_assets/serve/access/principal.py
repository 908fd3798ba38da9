"""The principal: who asks, and what they may read and write."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from rag_assets.db.access.viewer import Viewer
from rag_assets.errors import NotFoundError, UsageError
from rag_assets.repositories.audit.trail import AuditedCaller

# Of the ids of principals that come from tokens of an issuer.
TOKEN_ID = "oidc:"  # noqa: S105 - not a token
_MAX_NAMES_SHOWN = 20


class UnauthenticatedError(UsageError):
    """A caller without a key, or with one that is unknown, revoked or expired."""


class ForbiddenError(UsageError):
    """A caller who is known, and may not do this."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks; it travels with each request.

    - `id`: of the key, or of the user of a token, for limits by caller. `name`: of the key or the user, for logs.
    - `user`, `groups`, `tenant`: of the key or the token. A principal with a user has that user's conversations and
      memories, and no others.
    - `projects`: the projects that it may read, by name; None for all. `may_write`: conversations and memories, there.
    """

    id: str
    name: str
    groups: tuple[str, ...] = ()
    projects: Mapping[str, UUID] | None = None
    may_write: bool = False
    is_owner: bool = False
    user: str | None = None
    tenant: str | None = None

    @property
    def viewer(self) -> Viewer | None:
        """Whom the database shows rows for; None for the owner, who sees everything."""
        if self.is_owner:
            return None
        projects = None if self.projects is None else tuple(self.projects.values())
        return Viewer(self.user, self.groups, self.tenant, projects, is_filtered=True)

    @property
    def audited(self) -> AuditedCaller:
        return AuditedCaller(self.id, self.name, self.user)

    def narrow(self, options: dict[str, Any]) -> dict[str, Any]:
        """The options of a search, limited to the projects of this principal.

        Raises NotFoundError for another project, whether it exists or not.
        """
        if self.projects is None:
            return options
        wanted = options.get("project")
        if wanted is not None:
            self.check_projects([wanted] if isinstance(wanted, str) else wanted)
            if wanted:
                return options
        if not self.projects:
            raise ForbiddenError("the projects of this key are deleted; ask for a key of others.")
        return options | {"project": list(self.projects)}

    def check_projects(self, names: Iterable[object]) -> None:
        """Raises NotFoundError for a project that this principal may not read, whether it exists or not."""
        if self.projects is None:
            return
        for name in names:
            if not isinstance(name, str) or name not in self.projects:
                known = sorted(self.projects)
                more = f" and {len(known) - _MAX_NAMES_SHOWN:,} more" if len(known) > _MAX_NAMES_SHOWN else ""
                shown = ", ".join(known[:_MAX_NAMES_SHOWN]) or "none"
                raise NotFoundError(f"there is no project {_shorten(name)} (known: {shown}{more}); name one of these.")

    def may_read(self, project_id: UUID | None) -> bool:
        """Whether it may read what belongs to this project; what belongs to none is for principals of all projects."""
        return self.projects is None or project_id in self.projects.values()

    def check_write(self) -> None:
        if not self.may_write:
            raise ForbiddenError(
                "this key may only read; make one that may write: rag-assets keys add NAME --write."
                if not self.id.startswith(TOKEN_ID)
                else "this token may only read; get one with the scope that lets its user write."
            )


def _shorten(name: object) -> str:
    return repr(name) if not isinstance(name, str) or len(name) <= 100 else repr(name[:100]) + "…"
