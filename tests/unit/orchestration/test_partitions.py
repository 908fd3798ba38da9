"""The partition keys: those of a project's shards stay side by side."""

import dagster as dg

from rag_assets.documents.shards import shard_keys
from rag_assets.orchestration.automation.run_requests import contiguous_ranges
from rag_assets.orchestration.partitions import partition_changes, projects


def test_the_keys_of_a_project_stay_one_range() -> None:
    instance = dg.DagsterInstance.ephemeral()
    name = str(projects.name)

    def sync(*keys: str) -> list[str]:
        removed, added = partition_changes(instance, keys)
        for key in removed:
            instance.delete_dynamic_partition(name, key)
        instance.add_dynamic_partitions(name, added)
        return list(instance.get_dynamic_partitions(name))

    assert sync("ark", "zoo") == ["ark", "zoo"]
    assert sync(*shard_keys("ark", 2), "zoo") == ["zoo", "ark", "ark:02of02"]
    assert sync(*shard_keys("ark", 3), "zoo") == ["zoo", *shard_keys("ark", 3)]
    assert partition_changes(instance, ["zoo", *shard_keys("ark", 3)]) == ([], [])
    assert sync("ark", "zoo") == ["zoo", "ark"]


def test_each_shard_gets_a_run_of_its_own() -> None:
    keys = ["a", "b", *shard_keys("c", 3), "d", "e"]
    assert contiguous_ranges(keys, keys) == [("a", "b"), *((key, key) for key in shard_keys("c", 3)), ("d", "e")]
