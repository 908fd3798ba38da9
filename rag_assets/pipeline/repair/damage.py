"""One kind of damage: stored state that differs from what it should be."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rag_assets.db.spaces.text_kinds import Kind


@dataclass(slots=True)
class Damage:
    """`rows` damaged rows of one kind in one place; the other fields but the last are keys of `repair --json`.

    A run repairs what it sees as pending. `invalidate` makes it see what it would otherwise take for correct. Damage
    that is not `mendable` needs a decision or help from outside, which the examples describe.
    """

    kind: Kind
    what: str
    where: str
    rows: int
    examples: list[str] = field(default_factory=list)
    mendable: bool = True
    invalidate: Callable[[], object] | None = field(default=None, repr=False)

    def as_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "what": self.what,
            "where": self.where,
            "rows": self.rows,
            "examples": self.examples,
            "mendable": self.mendable,
        }
