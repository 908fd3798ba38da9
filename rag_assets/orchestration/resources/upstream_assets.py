"""Assets of the user as sources of projects: which asset, which of its partitions, and how its value is loaded."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from rag_assets.errors import SourceError, UsageError
from rag_assets.settings.entry_points import import_object

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from rag_assets.documents.sources.globs import Selection
    from rag_assets.documents.sources.rows.asset_rows import AssetSource

_OPTIONS = ("asset", "partition", "type")


@dataclass(frozen=True, slots=True)
class UpstreamAsset:
    """The asset whose rows are the documents of a project.

    `partition` is the one of the asset's partitions that is loaded; `python_type` is what its IO manager shall return,
    for one that goes by the annotation.
    """

    key: dg.AssetKey
    partition: str | None = None
    python_type: type | None = None

    @property
    def uri(self) -> str:
        from rag_assets.documents.sources.rows.asset_rows import ASSET_SCHEME

        of_partition = "" if self.partition is None else f"?partition={self.partition}"
        return f"{ASSET_SCHEME}{self.key.to_user_string()}{of_partition}"

    def load(self, context: dg.AssetExecutionContext, selection: "Selection", max_bytes: int | None) -> "AssetSource":
        """Load the asset's value. Raises SourceError where it was not materialized, or cannot be loaded."""
        from rag_assets.documents.sources.base import describe_exception
        from rag_assets.documents.sources.rows.asset_rows import AssetSource

        try:
            value = context.load_asset_value(self.key, python_type=self.python_type, partition_key=self.partition)
        except Exception as error:
            cause = error.__cause__ or error
            raise SourceError(
                f"the asset {self.key.to_user_string()} cannot be loaded ({describe_exception(cause)}); materialize it "
                "in this code location, then refresh the project"
            ) from error
        return AssetSource(self.uri, value, selection, max_bytes)


def add_upstream_projects(engine: "Engine", upstream: Iterable[tuple[str, UpstreamAsset]]) -> None:
    """Create the projects of these assets; a project of another source gets this one, and keeps its settings."""
    from rag_assets.projects.store import find_project, save_project

    for name, asset in upstream:
        with engine.begin() as connection:
            known = find_project(connection, name)
            if known is None or known.source_uri != asset.uri:
                save_project(connection, name, asset.uri, known.settings if known else {})


def last_materialization(instance: dg.DagsterInstance, asset: UpstreamAsset) -> int | None:
    """The number of the event that last materialized the asset, or the partition that is loaded."""
    partitions = None if asset.partition is None else [asset.partition]
    wanted = dg.AssetRecordsFilter(asset.key, asset_partitions=partitions)
    records = instance.fetch_materializations(wanted, limit=1).records
    return records[0].storage_id if records else None


def parse_upstream(upstream: Mapping[str, Any] | None) -> dict[str, UpstreamAsset]:
    """The assets by project: each a key (`shop/items`, a list of parts, an AssetKey), or a mapping with `asset`,
    `partition` and `type` (`package.module:name`). Raises UsageError for anything else.
    """
    if upstream is None:
        # Without loading the database's libraries, which a code location does not need.
        return {}
    from rag_assets.projects.store import check_project_name

    if not isinstance(upstream, Mapping):
        raise UsageError(f"upstream is a {type(upstream).__name__}; make it a mapping of projects to asset keys.")
    return {check_project_name(str(name)): _parse(str(name), given) for name, given in upstream.items()}


def _parse(project: str, given: Any) -> UpstreamAsset:
    if isinstance(given, UpstreamAsset):
        return given
    options = dict(given) if isinstance(given, Mapping) else {"asset": given}
    unknown = next((name for name in options if name not in _OPTIONS), None)
    if unknown is not None or not options.get("asset"):
        what = f"{unknown!r} is not one of" if unknown is not None else "the asset's key is missing among"
        raise UsageError(f"upstream: {project}: {what} {', '.join(_OPTIONS)}; name it like 'shop/items'.")
    partition = options.get("partition")
    return UpstreamAsset(
        asset_key(f"upstream: {project}", options["asset"]),
        None if partition is None else str(partition),
        _import_type(project, options.get("type")),
    )


def asset_key(what: str, key: Any) -> dg.AssetKey:
    """The key that is given as `shop/items`, as parts, or by the asset; raises UsageError, which begins with `what`."""
    if isinstance(key, dg.AssetKey):
        return key
    if isinstance(key, dg.AssetsDefinition | dg.AssetSpec):
        return key.key
    if isinstance(key, str) and key.strip("/"):
        return dg.AssetKey.from_user_string(key.strip("/"))
    if isinstance(key, Sequence) and key and all(isinstance(part, str) for part in key):
        return dg.AssetKey(list(key))
    raise UsageError(f"{what}: {key!r} is no asset key; name it like 'shop/items', or give the asset.")


def _import_type(project: str, target: Any) -> type | None:
    if target is None or isinstance(target, type):
        return target
    try:
        found = import_object(str(target))
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(
            f"upstream: {project}: the type {target!r} cannot be imported ({error}); name one like 'pandas:DataFrame'."
        ) from error
    if not isinstance(found, type):
        raise UsageError(f"upstream: {project}: {target!r} is not a type; name one like 'pandas:DataFrame'.")
    return found
