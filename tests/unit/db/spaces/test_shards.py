"""The partition keys of shards, and which documents they have."""

import itertools

import pytest

from rag_assets.documents.shards import POSITIONS, Shard, key_projects, position_of, shard_keys, split_key


def test_the_first_key_is_the_name_and_no_key_is_another_projects_name() -> None:
    assert shard_keys("zoo", 1) == ["zoo"]
    assert shard_keys("zoo", 3) == ["zoo", "zoo:02of03", "zoo:03of03"]
    assert shard_keys("zoo", 120)[-1] == "zoo:120of120"
    assert [split_key(key) for key in ("zoo", "zoo:02of16", "zoo:1of2", "a:b")] == [
        ("zoo", None),
        ("zoo", Shard(2, 16)),
        ("zoo:1of2", None),
        ("a:b", None),
    ]
    assert key_projects(["b", "a", "a:02of02"]) == ["b", "a"]


@pytest.mark.parametrize("shards", [1, 2, 3, 7, 16, 999])
def test_every_position_is_in_exactly_one_shard(shards: int) -> None:
    ranges = [Shard(number, shards).positions for number in range(1, shards + 1)]
    assert ranges[0].start == 0
    assert ranges[-1].stop == POSITIONS
    assert all(one.stop == after.start for one, after in itertools.pairwise(ranges))


def test_an_attachment_is_in_the_shard_of_its_mail() -> None:
    assert position_of("post/a.eml!/report.pdf") == position_of("post/a.eml")
    assert position_of("post/a.eml!/b.eml!/c.txt") == position_of("post/a.eml")
    assert position_of("!/a") != position_of("!/b")


def test_the_hash_of_a_path_is_the_same_in_every_version() -> None:
    assert position_of("a.md") == 0xFECCCC97
    assert position_of("ü/b.md") == 0x1381988A
