"""The step between parsing and chunking that redacts or refuses personal data."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from importlib.util import find_spec
from typing import Any

from rag_assets.documents.parsing.parser import PERSONAL_TAG, ParsedDocument
from rag_assets.documents.personal_data.detector import DETECTOR_VERSION, find_personal_data
from rag_assets.errors import UsageError

# As many as the text had characters: pages, headings and offsets stay where they are.
REDACTED = "█"


@dataclass(frozen=True, slots=True)
class PersonalDataStep:
    """`mode`: keep, check, redact or refuse. Raises UsageError where the packages are missing."""

    mode: str
    kinds: tuple[str, ...]
    region: str | None = None

    def __post_init__(self) -> None:
        if self.mode != "keep" and (missing := [name for name in ("phonenumbers", "stdnum") if not find_spec(name)]):
            raise UsageError(
                f"RAG_ASSETS_PERSONAL_DATA={self.mode} needs {' and '.join(missing)}; install them: "
                "pip install 'rag_assets[privacy]'."
            )

    @property
    def tag(self) -> str:
        """Ends the version of the reader: another mode, kind, region or detector reads documents again."""
        if self.mode in ("keep", "check"):
            return ""
        facts = f"{DETECTOR_VERSION} {sorted(self.kinds)} {self.region}"
        return f"{PERSONAL_TAG}{self.mode}-{sha256(facts.encode()).hexdigest()[:8]}"

    def is_current(self, stored_reader: str) -> bool:
        """Whether a document that was read so has been through this step."""
        _, separator, rest = stored_reader.partition(PERSONAL_TAG)
        return separator + rest == self.tag

    def apply(self, parsed: ParsedDocument) -> ParsedDocument:
        """The document without personal data: redacted, or without text where it is refused."""
        if not self.tag:
            return parsed
        if self.mode == "redact":
            title = None if parsed.title is None else self.redact(parsed.title)
            return replace(
                parsed, title=title, content=self.redact(parsed.content), metadata=self._clean(parsed.metadata)
            )
        found = self.count(parsed.title or "", parsed.content, str(parsed.metadata))
        if not found:
            return parsed
        note = f"refused: it holds personal data ({describe_personal_data(found)}); RAG_ASSETS_PERSONAL_DATA=refuse"
        # Not a failure, which would keep the text that was read while this was allowed.
        return replace(parsed, title=None, content="", metadata={}, report=type(parsed.report)(notes=(note,)))

    def redact(self, text: str) -> str:
        parts, at = [], 0
        for one in find_personal_data(text, self.kinds, self.region):
            parts += [text[at : one.start], REDACTED * (one.end - one.start)]
            at = one.end
        return "".join([*parts, text[at:]])

    def count(self, *texts: str) -> Counter[str]:
        """How many there are of each kind."""
        return Counter(one.kind for text in texts for one in find_personal_data(text, self.kinds, self.region))

    def _clean(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.redact(value)
        if isinstance(value, Mapping):
            return {key: self._clean(one) for key, one in value.items()}
        return [self._clean(one) for one in value] if isinstance(value, list) else value


def describe_personal_data(found: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} {kind}" for kind, number in sorted(found.items()))
