"""Settings of what becomes of personal data in documents."""

import json
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from rag_assets.settings.audit import AuditSettings

KINDS_OF_DATA = ("email", "phone", "iban", "card")


class PersonalDataSettings(AuditSettings):
    personal_data: Literal["keep", "check", "redact", "refuse"] = Field(
        "keep",
        description="What becomes of personal data in documents before they are split (extra `privacy`): it stays "
        "(keep), stays and is checked (check), is replaced (redact), or its document has no text (refuse). Unless it "
        "is kept, the blocking check no_personal_data looks for it.",
    )
    personal_data_kinds: Annotated[tuple[str, ...], NoDecode] = Field(
        KINDS_OF_DATA,
        min_length=1,
        description="Kinds of personal data, separated by commas: email, phone, iban (bank accounts), card.",
    )
    personal_data_region: str | None = Field(
        None,
        pattern="^[A-Z]{2}$",
        description="Country whose telephone numbers count without their prefix, too, like DE. Unset: +49 30 … alone.",
    )

    @field_validator("personal_data_kinds", mode="before")
    @classmethod
    def _split_kinds(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return json.loads(value) if value.startswith("[") else tuple(filter(None, map(str.strip, value.split(","))))

    @field_validator("personal_data_kinds")
    @classmethod
    def _check_kinds(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = next((name for name in value if name not in KINDS_OF_DATA), None)
        if unknown is not None:
            raise ValueError(f"{unknown!r} is no kind of personal data; there are {', '.join(KINDS_OF_DATA)}")
        return value
