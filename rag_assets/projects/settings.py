"""The settings of one project. A setting that is not set falls back to the installation's."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from rag_assets.documents.readers import check_readers
from rag_assets.documents.shards import MOST_SHARDS
from rag_assets.documents.text import clean
from rag_assets.errors import UsageError, pydantic_message, unknown_name_message
from rag_assets.settings.cron import check_cron, check_time_zone

Share = Annotated[float, Field(ge=0, le=1)]


METRICS = ("ndcg@10", "recall@10", "recall@100", "mrr@10", "hit_rate@10")
# Their keys in a project's settings.
QUESTIONS_KEY = "questions"
THRESHOLDS_KEY = "question_thresholds"


class ProjectSettings(BaseModel):
    """The validated content of `projects.settings`; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    include: tuple[str, ...] = Field((), description="Read only files that match one of these globs.")
    exclude: tuple[str, ...] = Field((), description="Skip files that match one of these globs.")
    language: str | None = Field(None, description="Language of the documents for keyword search; unset: english.")
    chunk_tokens: int | None = Field(None, ge=16, description="Tokens of a chunk; unset: RAG_ASSETS_CHUNK_TOKENS.")
    overlap_tokens: int | None = Field(
        None, ge=0, description="Tokens that neighbouring chunks share; unset: RAG_ASSETS_OVERLAP_TOKENS."
    )
    shards: int = Field(
        1,
        ge=1,
        le=MOST_SHARDS,
        description="Partitions of the project, which runs can refresh side by side: `name`, then `name:02of16`.",
    )
    schedule: str | None = Field(
        None, description="Cron schedule of its refresh, instead of the nightly one; `never` for no automatic refresh."
    )
    time_zone: str | None = Field(None, description="Time zone of `schedule`; unset: RAG_ASSETS_TIME_ZONE.")
    stale_after_hours: float | None = Field(
        None,
        gt=0,
        le=1_000_000,
        description="Hours after a refresh from which it is stale; unset: RAG_ASSETS_STALE_AFTER_HOURS.",
    )
    readers: tuple[str, ...] | None = Field(
        None,
        description="Who may read its documents, where these do not declare it: `everyone`, `user:NAME`, "
        "`group:NAME`, `tenant:NAME`; unset: who may read the project.",
    )
    questions: str | None = Field(
        None, description="Path or URL of a file of evaluation queries, which every run evaluates."
    )
    question_thresholds: dict[str, Share] = Field(
        default_factory=dict, description="Minimum values of metrics on `questions`, like ndcg@10=0.7."
    )
    # Written by `Documents.delete`: paths that no run reads again.
    forgotten: tuple[str, ...] = ()

    @field_validator("include", "exclude", "language", "questions")
    @classmethod
    def _check_storable(cls, value: Any) -> Any:
        texts = (value,) if isinstance(value, str) else value or ()
        if any(clean(one) != one for one in texts):
            raise ValueError(
                "it contains a character that stored texts cannot have "
                "(NUL, an invalid UTF-8 byte, a carriage return, a byte order mark)"
            )
        return value

    @field_validator("readers", mode="before")
    @classmethod
    def _check_readers(cls, value: object) -> tuple[str, ...] | None:
        return None if value is None else check_readers(value)

    @field_validator("schedule")
    @classmethod
    def _check_schedule(cls, value: str | None) -> str | None:
        if value is not None and value != NEVER:
            check_cron(value)
        return value

    @field_validator("time_zone")
    @classmethod
    def _check_time_zone(cls, value: str | None) -> str | None:
        return value if value is None else check_time_zone(value)

    @field_validator("question_thresholds")
    @classmethod
    def _check_metrics(cls, value: dict[str, float]) -> dict[str, float]:
        unknown = sorted(value.keys() - set(METRICS))
        if unknown:
            raise ValueError(f"there is no metric {unknown[0]}; choose from {', '.join(METRICS)}")
        return value


NEVER = "never"
SETTABLE_KEYS = tuple(name for name in ProjectSettings.model_fields if name != "forgotten")


def parse_project_settings(project: str, given: Mapping[str, Any]) -> ProjectSettings:
    """The validated settings; raises UsageError that suggests the nearest key for an unknown one."""
    try:
        return ProjectSettings.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0]) if first["loc"] else ""
        if first["type"] == "extra_forbidden":
            raise UsageError(f"project {project}: {unknown_name_message(key, SETTABLE_KEYS)}") from None
        where = ".".join(map(str, first["loc"]))
        raise UsageError(
            f"project {project}: {where} {first['input']!r}: {pydantic_message(first['msg'])}; correct it."
        ) from None


def dump_project_settings(settings: ProjectSettings) -> dict[str, Any]:
    """The settings for `projects.settings`: only those that are set."""
    return settings.model_dump(mode="json", exclude_unset=True)


def assign_settings(project: str, before: Mapping[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """The settings after assignments of the form `key=value`; `key=` unsets a key.

    A key with several values is assigned once for each. Raises UsageError for a malformed assignment, an unknown key
    and an invalid value.
    """
    given: dict[str, list[str]] = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals:
            raise UsageError(
                f"{assignment!r} is no assignment; write key=value, with a key of {', '.join(SETTABLE_KEYS)}."
            )
        if key not in SETTABLE_KEYS:
            raise UsageError(f"project {project}: {unknown_name_message(key, SETTABLE_KEYS)}")
        given.setdefault(key, []).append(value)
    changed = dict(before)
    for key, values in given.items():
        changed.pop(key, None)
        if values != [""]:
            changed[key] = _parse_value(key, values)
    return dump_project_settings(parse_project_settings(project, changed))


def _parse_value(key: str, values: Sequence[str]) -> Any:
    if key in ("include", "exclude", "readers"):
        return values
    if key == "question_thresholds":
        pairs = [value.rpartition("=") for value in values]
        return {name: share for name, _, share in pairs}
    if len(values) > 1:
        raise UsageError(f"{key} takes one value, but was assigned {len(values)}: {', '.join(values)}; keep one.")
    return values[0]
