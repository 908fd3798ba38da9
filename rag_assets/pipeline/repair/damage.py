"""What differs from what it should be, and what must go before the next run makes it anew."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rag_assets.db.spaces.text_kinds import Kind


@dataclass(slots=True)
class Damage:
    """`rows` of one thing, in one place; `void` removes what a run would take for right, where there is such.

    What is not `mendable` needs somebody's decision, or help from outside, which the examples say.
    """

    kind: Kind
    what: str
    where: str
    rows: int
    examples: list[str] = field(default_factory=list)
    mendable: bool = True
    void: Callable[[], object] | None = field(default=None, repr=False)

    def as_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "what": self.what,
            "where": self.where,
            "rows": self.rows,
            "examples": self.examples,
            "mendable": self.mendable,
        }
