"""Where one pipeline stands in a code location: its names, its settings, its resources, apart from those of others."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import dagster as dg

from rag_assets.db.spaces.registered_tables import registered_kinds
from rag_assets.errors import UsageError
from rag_assets.orchestration.partitions import daily
from rag_assets.orchestration.resources.base import BySettings
from rag_assets.settings.settings import Settings, load_settings

if TYPE_CHECKING:
    from rag_assets.orchestration.resources.embedder import Embedder
    from rag_assets.orchestration.resources.postgres import Postgres

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class HasResources(Protocol):
    """Any context of Dagster's in which resources are at hand."""

    @property
    def resources(self) -> Any: ...


@dataclass(frozen=True)
class Pipeline:
    """One set of all assets, with what belongs to them; without a prefix everything has its plain name.

    `given` are its settings, None for those of the environment whenever they are asked for. They stay in memory: every
    process that Dagster starts loads the code location, so that no password is ever in a run's config.
    """

    prefix: tuple[str, ...] = ()
    group_name: str | None = None
    given: Settings | None = None

    def __post_init__(self) -> None:
        for part in self.prefix:
            _check_name("key_prefix", part)
        if self.group_name is not None:
            _check_name("group_name", self.group_name)

    @property
    def settings(self) -> Settings:
        return load_settings() if self.given is None else self.given

    @property
    def group(self) -> str | None:
        """The one group of all its assets; None where they are in groups by what they are about."""
        return self.group_name or "_".join(self.prefix) or None

    def name(self, name: str) -> str:
        """What a job, a schedule, a resource … of this name is called here."""
        return "_".join([*self.prefix, name])

    def key(self, asset: str) -> dg.AssetKey:
        return dg.AssetKey([*self.prefix, asset])

    def keys(self, assets: Sequence[str]) -> list[dg.AssetKey]:
        return [self.key(asset) for asset in assets]

    @cached_property
    def projects(self) -> dg.DynamicPartitionsDefinition:
        return dg.DynamicPartitionsDefinition(name=self.name("projects"))

    @cached_property
    def days(self) -> dg.DailyPartitionsDefinition:
        return daily(self.settings.messages_since)

    @cached_property
    def registered_kinds(self) -> list[str]:
        """The tables that other packages register, by name; each has assets, checks, a job and a schedule."""
        return registered_kinds()

    @property
    def postgres_key(self) -> str:
        return self.name("postgres")

    @property
    def embedder_key(self) -> str:
        return self.name("embedder")

    @property
    def tables_key(self) -> str:
        return self.name("tables")

    def postgres(self, context: HasResources) -> "Postgres":
        found: Postgres = self._at_work(context, self.postgres_key)
        return found

    def embedder(self, context: HasResources) -> "Embedder":
        found: Embedder = self._at_work(context, self.embedder_key)
        return found

    def _at_work(self, context: HasResources, key: str) -> Any:
        """The resource by our settings; one that only looks like ours has its own."""
        found = getattr(context.resources, key)
        return found.of(self.given) if isinstance(found, BySettings) else found


def _check_name(what: str, name: object) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError(
            f"{what} {name!r} is not a name; give one of letters, digits and underscores that begins with no digit"
            + (" (of several parts: a list of them)." if what == "key_prefix" else ".")
        )
