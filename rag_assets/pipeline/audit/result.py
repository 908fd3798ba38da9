"""The result of one check, before it becomes Dagster's."""

from dataclasses import dataclass, field
from typing import Any

EXAMPLES = 5
# The metadata key of a check that passed because its tables are empty; its value says why.
NOTHING_TO_CHECK = "nothing_to_check"


@dataclass(slots=True)
class CheckResult:
    """`metadata` has the numbers; `reason` says in one clause what is wrong, and is shown only when the check fails.

    With `warning`, a check that failed blocks nothing.
    """

    passed: bool
    metadata: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
    warning: bool = False

    @property
    def blocks(self) -> bool:
        return not self.passed and not self.warning


def rows_read(read: int, total: int) -> dict[str, int]:
    """The figures that say how many rows a check read, and how many it left to later runs."""
    return {"rows_read": read, "rows_left": max(0, total - read)}
