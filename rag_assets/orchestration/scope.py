"""The scope of one pipeline in a code location: its names, settings and resources, apart from those of others."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial, wraps
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar, cast

import dagster as dg

from rag_assets.db.spaces.registered_tables import registered_kinds
from rag_assets.errors import UsageError
from rag_assets.orchestration.partitions import daily_partitions
from rag_assets.orchestration.resources.base import SettingsResource
from rag_assets.orchestration.resources.upstream_assets import UpstreamAsset
from rag_assets.settings.settings import Settings, load_settings

if TYPE_CHECKING:
    from rag_assets.orchestration.resources.embedder import Embedder
    from rag_assets.orchestration.resources.postgres import Postgres
    from rag_assets.projects.declarations import Declarations

Body = TypeVar("Body", bound=Callable[..., Any])
# Called with the context of an asset, and what materializes it.
Execute: TypeAlias = Callable[[dg.AssetExecutionContext, Callable[[], Any]], Any]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class HasResources(Protocol):
    """Any of Dagster's contexts that give access to resources."""

    @property
    def resources(self) -> Any: ...


@dataclass(frozen=True)
class PipelineScope:
    """One set of all assets and everything that belongs to them; without a prefix, all names are the plain ones.

    `own_settings` is None for a pipeline that uses the environment's settings, read whenever they are needed. Settings
    stay in memory: each process that Dagster starts loads the code location, so no run config ever has a password.
    """

    prefix: tuple[str, ...] = ()
    group_name: str | None = None
    own_settings: Settings | None = None
    upstream: tuple[tuple[str, UpstreamAsset], ...] = ()
    declarations: "Declarations | None" = None
    deps: tuple[dg.AssetKey, ...] = ()
    observes_sources: bool = False
    translated_keys: tuple[tuple[str, dg.AssetKey], ...] = ()
    execute: Execute | None = None

    def __post_init__(self) -> None:
        for part in self.prefix:
            _check_name("key_prefix", part)
        if self.group_name is not None:
            _check_name("group_name", self.group_name)

    @property
    def settings(self) -> Settings:
        return load_settings() if self.own_settings is None else self.own_settings

    @property
    def group(self) -> str | None:
        """The one group of all assets; None when they are in groups by subject."""
        return self.group_name or "_".join(self.prefix) or None

    def name(self, name: str) -> str:
        """The name of a job, schedule, sensor, check set or resource in this scope."""
        return "_".join([*self.prefix, name])

    def key(self, asset: str) -> dg.AssetKey:
        """The key of one of our assets, which a translation may have changed."""
        return dict(self.translated_keys).get(asset) or self.plain_key(asset)

    def plain_key(self, asset: str) -> dg.AssetKey:
        return dg.AssetKey([*self.prefix, asset])

    def asset_name(self, key: dg.AssetKey) -> str:
        """The plain name of one of our assets: `chunks` of `docs/chunks`."""
        names = {translated: name for name, translated in self.translated_keys}
        return names.get(key) or key.path[-1]

    def executed(self, materialize: Body) -> Body:
        """Let `execute` of the component run the body of an asset, where it was overridden."""
        execute = self.execute
        if execute is None:
            return materialize

        @wraps(materialize)
        def run(context: dg.AssetExecutionContext, **inputs: Any) -> Any:
            return execute(context, partial(materialize, context, **inputs))

        return cast(Body, run)

    def keys(self, assets: Sequence[str]) -> list[dg.AssetKey]:
        return [self.key(asset) for asset in assets]

    @cached_property
    def projects(self) -> dg.DynamicPartitionsDefinition:
        return dg.DynamicPartitionsDefinition(name=self.name("projects"))

    @cached_property
    def days(self) -> dg.DailyPartitionsDefinition:
        return daily_partitions(self.settings.messages_since)

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
        resource: Postgres = self._resource(context, self.postgres_key)
        return resource

    def embedder(self, context: HasResources) -> "Embedder":
        resource: Embedder = self._resource(context, self.embedder_key)
        return resource

    def _resource(self, context: HasResources, key: str) -> Any:
        """The resource with this scope's settings; a replacement of another class keeps its own."""
        resource = getattr(context.resources, key)
        return resource.with_settings(self.own_settings) if isinstance(resource, SettingsResource) else resource


def _check_name(what: str, name: object) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError(
            f"{what} {name!r} is not a name; use letters, digits and underscores, and do not begin with a digit"
            + (" (for several parts, give a list of them)." if what == "key_prefix" else ".")
        )
