"""The outcome of one check, before Dagster."""

from dataclasses import dataclass, field
from typing import Any

EXAMPLES = 5
# In the metadata of a check whose tables have nothing that it could look at: why.
NOTHING_TO_CHECK = "nothing_to_check"


@dataclass(slots=True)
class Finding:
    """Its numbers, and what is wrong in one clause where something is."""

    passed: bool
    metadata: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
