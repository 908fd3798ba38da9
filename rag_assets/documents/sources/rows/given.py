"""A source as a person gives it: its address, and a password that must not be stored with it."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from rag_assets.documents.sources.rows.address import is_row_address, parse_row_address, split_password
from rag_assets.documents.sources.rows.passwords import forget_password, keep_password
from rag_assets.documents.sources.uri import canonical_uri
from rag_assets.documents.sources.web.address import is_site_address, parse_site_address


@dataclass(frozen=True, slots=True)
class GivenSource:
    """`uri` is the canonical address, fit to be stored and shown."""

    uri: str
    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, source: "str | os.PathLike[str]") -> Self:
        text = os.fspath(source)
        if not is_row_address(text):
            return cls(canonical_uri(source))
        address, password = split_password(text)
        return cls(canonical_uri(address), password)

    def keep_password(self, state_dir: Path) -> None:
        """Keep the password, if one was given, so that later runs can open the address."""
        if self.password is not None:
            keep_password(parse_row_address(self.uri), self.password, state_dir)


def forget_unused_password(uri: str, others: Iterable[str], state_dir: Path) -> None:
    """Forget the password that was kept for this address, unless other addresses have the same account."""
    if is_row_address(uri):
        address = parse_row_address(uri)
        if all(parse_row_address(other).account != address.account for other in others if is_row_address(other)):
            forget_password(address, state_dir)


def source_name(uri: str) -> str:
    """What a project of this source is named after: its last folder or file, or its table."""
    if is_site_address(uri):
        uri = parse_site_address(uri).start
    return parse_row_address(uri).name if is_row_address(uri) else uri.rstrip("/").rsplit("/", 1)[-1]
