"""The shards of a large project: parts of its documents, by a stable hash of their paths, each a partition of its own.

The first shard has the project's name as its partition key, the others `name:02of16`. No row knows its shard: another
number of shards moves nothing.
"""

import re
from collections.abc import Iterable
from hashlib import sha256
from typing import NamedTuple

from rag_assets.documents.parsing.parse_report import ATTACHMENT_SEPARATOR

MOST_SHARDS = 999
# A path's hash gives one of so many positions; a shard is a range of them.
POSITIONS = 2**32
_SUFFIX = re.compile(r"(\d{2,3})of(\d{2,3})")


class Shard(NamedTuple):
    """Part `number` (from 1) of a project that is split into `of` parts; by default the whole project."""

    number: int = 1
    of: int = 1

    @property
    def suffix(self) -> str:
        """What follows the name and the colon in its explicit key; "" for a whole project."""
        width = max(2, len(str(self.of)))
        return f"{self.number:0{width}}of{self.of:0{width}}" if self.of > 1 else ""

    @property
    def positions(self) -> range:
        return range(*(-(-part * POSITIONS // self.of) for part in (self.number - 1, self.number)))


WHOLE = Shard()


def shard_keys(project: str, shards: int) -> list[str]:
    """The partition keys of a project: `name`, then `name:02of16` to `name:16of16`."""
    return [partition_key(project, Shard(number, shards)) for number in range(1, shards + 1)]


def partition_key(project: str, shard: Shard) -> str:
    return f"{project}:{shard.suffix}" if shard.number > 1 else project


def split_key(key: str) -> tuple[str, Shard | None]:
    """The project of a key, and its shard; None for the project's name alone."""
    name, colon, suffix = key.partition(":")
    found = _SUFFIX.fullmatch(suffix) if colon else None
    if found is None:
        return key, None
    return name, Shard(int(found[1]), int(found[2]))


def key_projects(keys: Iterable[str]) -> list[str]:
    """The projects of these keys, each once."""
    return list(dict.fromkeys(split_key(key)[0] for key in keys))


def position_of(path: str) -> int:
    """The position of a document; an attachment has that of the file that holds it, with which it is read."""
    at = path.find(ATTACHMENT_SEPARATOR)
    return int.from_bytes(sha256((path[:at] if at > 0 else path).encode()).digest()[:4], "big")
