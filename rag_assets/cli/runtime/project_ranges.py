"""Projects as ranges of partition keys, which one run each can take."""

from collections.abc import Collection

from sqlalchemy import Engine

from rag_assets.cli.runtime.installation import instance
from rag_assets.documents.shards import split_key
from rag_assets.orchestration.partitions import partition_changes, projects
from rag_assets.projects.store import partition_keys


def sync_partitions(engine: Engine) -> list[str]:
    """Make Dagster's partition keys those of the projects and their shards, and return them."""
    with engine.connect() as connection:
        keys = partition_keys(connection)
    removed, added = partition_changes(instance(), keys)
    for key in removed:
        instance().delete_dynamic_partition(str(projects.name), key)
    if added:
        instance().add_dynamic_partitions(str(projects.name), added)
    return keys


def project_ranges(
    engine: Engine, *, excluded: Collection[str] = (), only: Collection[str] | None = None
) -> list[tuple[str, str]]:
    """The projects as ranges of partition keys, in Dagster's order of the keys, to make few runs."""
    names = {key: split_key(key)[0] for key in sync_partitions(engine)}
    wanted = {key for key, name in names.items() if name not in excluded and (only is None or name in only)}
    ranges: list[tuple[str, str]] = []
    continues = False
    for key in instance().get_dynamic_partitions(str(projects.name)):
        if key in wanted:
            ranges = [*ranges[:-1], (ranges[-1][0], key)] if continues else [*ranges, (key, key)]
        continues = key in wanted
    return ranges
