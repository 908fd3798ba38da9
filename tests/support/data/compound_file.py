"""A writer of compound files (OLE, MS-CFB), in which Outlook stores mails: enough of it for tests."""

import struct
from itertools import pairwise
from typing import Union

Tree = dict[str, Union[bytes, "Tree"]]

_SECTOR_BYTES, _SMALL_SECTOR_BYTES = 512, 64
_FREE, _END, _ALLOCATION = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD
# Smaller streams are kept in small sectors, within a stream of the root.
_SMALL_STREAM_BYTES = 4096
_STORAGE, _STREAM, _ROOT = 1, 2, 5


def compound_file(tree: Tree) -> bytes:
    """The bytes of a compound file with these storages (mappings) and streams (bytes)."""
    return _Writer(tree).write()


class _Writer:
    def __init__(self, tree: Tree) -> None:
        # Name, type, first child, next sibling and content of each entry of the directory.
        self._entries: list[tuple[str, int, int, int, bytes]] = []
        self._sectors: list[bytes] = []
        self._next: list[int] = []
        self._add("Root Entry", _ROOT, tree)

    def _add(self, name: str, kind: int, content: Tree | bytes) -> int:
        at = len(self._entries)
        self._entries.append((name, kind, _FREE, _FREE, content if isinstance(content, bytes) else b""))
        if isinstance(content, dict):
            numbers = []
            for child in sorted(content, key=lambda name: (len(name), name.upper())):
                value = content[child]
                numbers.append(self._add(child, _STREAM if isinstance(value, bytes) else _STORAGE, value))
            # A chain to the right is a valid search tree.
            for left, right in pairwise(numbers):
                entry = self._entries[left]
                self._entries[left] = (*entry[:3], right, entry[4])
            self._entries[at] = (name, kind, numbers[0] if numbers else _FREE, _FREE, b"")
        return at

    def _store(self, content: bytes) -> int:
        first = len(self._sectors)
        for start in range(0, len(content), _SECTOR_BYTES):
            self._sectors.append(content[start : start + _SECTOR_BYTES].ljust(_SECTOR_BYTES, b"\0"))
        self._next += [*range(first + 1, len(self._sectors)), _END]
        return first

    def write(self) -> bytes:
        small, small_next = b"", list[int]()
        starts = []
        for *_, content in self._entries:
            count = -(-len(content) // _SMALL_SECTOR_BYTES)
            if not content:
                starts.append(_END)
            elif len(content) < _SMALL_STREAM_BYTES:
                starts.append(len(small_next))
                small_next += [*range(len(small_next) + 1, len(small_next) + count), _END]
                small += content.ljust(count * _SMALL_SECTOR_BYTES, b"\0")
            else:
                starts.append(self._store(content))
        small_start = self._store(small)
        table = b"".join(struct.pack("<I", number) for number in small_next)
        table_sectors = -(-len(table) // _SECTOR_BYTES)
        table_start = self._store(table.ljust(table_sectors * _SECTOR_BYTES, b"\xff"))
        directory = b""
        for (name, kind, child, sibling, content), start in zip(self._entries, starts, strict=True):
            encoded = (name + "\0").encode("utf-16-le")
            first, size = (small_start, len(small)) if kind == _ROOT else (start, len(content))
            directory += encoded.ljust(64, b"\0") + struct.pack(
                "<HBBIII16sIQQIQ", len(encoded), kind, 1, _FREE, sibling, child, b"", 0, 0, 0, first, size
            )
        directory_start = self._store(directory)
        first = len(self._sectors)
        count = 1
        while count * 128 < first + count:
            count += 1
        chain = [*self._next, *[_ALLOCATION] * count]
        chain += [_FREE] * (count * 128 - len(chain))
        self._sectors += [struct.pack("<128I", *chain[at * 128 : at * 128 + 128]) for at in range(count)]
        header = struct.pack(
            f"<8s16s5H6s9I{count}I",
            *(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"", 0x3E, 3, 0xFFFE, 9, 6, b"", 0, count, directory_start, 0),
            *(_SMALL_STREAM_BYTES, table_start, table_sectors, _END, 0),
            *range(first, first + count),
        )
        return header.ljust(_SECTOR_BYTES, b"\xff") + b"".join(self._sectors)
