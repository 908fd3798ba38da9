"""Projects as ranges of partition keys, which one run each can take."""

from sqlalchemy import Engine

from rag_assets.cli.runtime.installation import instance
from rag_assets.orchestration.partitions import projects
from rag_assets.projects.store import partition_names


def project_ranges(engine: Engine, excluded: set[str]) -> list[tuple[str, str]]:
    """The projects as ranges of partition keys, in Dagster's order of the keys, to make few runs."""
    with engine.connect() as connection:
        names = list(partition_names(connection))
    instance().add_dynamic_partitions(str(projects.name), names)
    wanted = set(names) - excluded
    ranges: list[tuple[str, str]] = []
    continues = False
    for key in instance().get_dynamic_partitions(str(projects.name)):
        if key in wanted:
            ranges = [*ranges[:-1], (ranges[-1][0], key)] if continues else [*ranges, (key, key)]
        continues = key in wanted
    return ranges
