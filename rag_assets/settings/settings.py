"""Typed settings, from the environment (prefix RAG_ASSETS_) and from `.env` in the working directory."""

import json
import os
import re
from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import NoDecode

from rag_assets.errors import UsageError, pydantic_message, unknown_name_message
from rag_assets.settings.connection import ConnectionSettings
from rag_assets.settings.cron import check_cron, check_time_zone

_TARGET = re.compile(r"https?://\S+|[\w.]+:\w+")
# What Dagster takes for an owner.
_OWNER = re.compile(r"team:.+|[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,7}")


class Settings(ConnectionSettings):
    """Everything that can be set; each field is the environment variable RAG_ASSETS_<NAME>."""

    state_dir: Path = Field(
        Path(".rag_assets"),
        description="The folder of one installation: embedded server, DAGSTER_HOME, caches.",
    )
    parse_timeout_s: float = Field(60, gt=0, description="Time for the parser of one document.")
    parse_memory_mb: int = Field(2048, ge=256, description="Memory for the parser of one document.")
    parse_workers: int = Field(2, ge=1, description="Parser processes at one time.")
    max_document_mb: int = Field(100, ge=1, description="A larger file is recorded as failed, not read.")

    chunk_tokens: int | None = Field(
        None,
        ge=16,
        description="Tokens of a chunk, without special ones; unset: all that the model's window holds.",
    )
    overlap_tokens: int = Field(0, ge=0, description="Tokens that neighbouring chunks share.")

    model: str = Field(
        "sentence-transformers/all-MiniLM-L6-v2",
        description="A sentence-transformers model: its name on the hub, or a folder.",
    )
    model_revision: str | None = Field(None, description="The model's commit on the hub; unset: its newest.")
    dimensions: int | None = Field(
        None,
        ge=1,
        description="The first dimensions of each vector that are kept, of a model trained for it (Matryoshka); "
        "unset: all.",
    )
    document_prompt: str | None = Field(
        None, description="What is put before each text that is embedded; unset: the model's own; `-`: nothing."
    )
    query_prompt: str | None = Field(
        None, description="What is put before each question; unset: the model's own; `-`: nothing."
    )
    normalize: bool = Field(True, description="Whether vectors are brought to length 1.")
    distance: Literal["cosine", "l2", "ip"] | None = Field(
        None, description="How vectors are compared; unset: as the model says, else cosine."
    )
    device: str | None = Field(None, description="Where the model runs (cpu, cuda, mps); unset: the best there is.")
    batch_tokens: int = Field(2048, ge=64, description="Tokens of one batch through the model, padding included.")

    index_build_memory_mb: int = Field(
        2048, ge=64, description="The most memory that the server may use to build an index."
    )
    index_build_workers: int | None = Field(
        None, ge=0, description="Parallel workers of an index build; unset: as many as the server allows one."
    )
    index_dead_share_limit: float = Field(
        0.5, gt=0, lt=1, description="Deleted vectors' share of an index from which on it is built anew."
    )
    index_method: Literal["hnsw", "ivfflat"] = Field(
        "hnsw", description="hnsw: finds more, faster; ivfflat: is built in a fraction of the time."
    )
    index_storage: Literal["vector", "halfvec", "bit"] = Field(
        "vector", description="What the index stores of each dimension: 4 bytes, 2 bytes (halfvec), or its sign (bit)."
    )
    oversampling: int = Field(
        16,
        ge=1,
        le=100,
        description="With bit: candidates for each wanted hit that are compared again by their true vectors.",
    )
    hnsw_m: int = Field(16, ge=2, le=100, description="Links of a vector in the HNSW graph.")
    hnsw_ef_construction: int = Field(128, ge=4, le=1000, description="Candidates looked at to place a vector.")
    ef_search: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="Candidates looked at by a search, at least k; unset: the space's own.",
    )

    reranker: str | None = Field(
        None, description="A cross-encoder for searches that ask for reranking: its name on the hub, or a folder."
    )
    reranker_revision: str | None = Field(None, description="The cross-encoder's commit on the hub; unset: its newest.")
    rerank_candidates: int = Field(20, ge=1, le=1000, description="The best hits of a search that are reranked.")

    owners: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Who answers for the assets: `team:search`, or addresses; several with commas between them."
    )
    latency_limit_ms: float = Field(100, gt=0, description="Threshold of the check search_latency (p95).")
    recall_limit: float = Field(0.95, gt=0, le=1, description="Threshold of the check recall_at_10 (mean).")

    previous_space_days: float = Field(
        7, ge=0, description="Days for which the space that served before is kept, and kept up to date, for a rollback."
    )
    quality_tolerance: float = Field(
        0.02,
        ge=0,
        le=1,
        description="How much less nDCG@10 and recall@10 of judged questions may be in a space that is to take over.",
    )

    maintenance_cron: str = Field(
        "30 4 * * 0",
        validate_default=False,
        description="When the schedule of the maintenance runs, by UTC, as five fields of cron.",
    )
    vacuum_dead_share_limit: float = Field(
        0.1, gt=0, lt=1, description="Dead rows' share of a table from which on the maintenance vacuums it."
    )
    expired_kept_days: float = Field(
        30, ge=0, description="Days after which the maintenance removes expired sessions and memories for good."
    )

    messages_since: date = Field(
        date(2024, 1, 1), description="The first day (UTC) whose messages are embedded: the first daily partition."
    )
    messages_window_days: int = Field(
        7, ge=1, le=366, description="Days before today that the nightly backfill of messages looks through again."
    )

    projects: str | None = Field(
        None,
        description="Where projects are declared: a YAML file, or `package.module:name` of a list; unset: "
        "`projects.yaml` in the state folder, where there is one.",
    )
    refresh_cron: str = Field(
        "0 2 * * *", validate_default=False, description="Cron of the nightly refresh of all projects."
    )
    time_zone: str = Field("UTC", validate_default=False, description="Time zone of the schedules of projects.")
    stale_after_hours: float = Field(
        36, ge=0.02, le=1_000_000, description="Age from which a project that was not refreshed counts as stale."
    )
    automation: bool = Field(
        False, description="Whether schedules and sensors are on from the start, rather than turned on in the UI."
    )
    sensor_interval_s: int = Field(
        30, ge=1, description="How often, at most, a sensor looks at sources, projects, upstreams or failed runs."
    )
    notify: SecretStr | None = Field(
        None,
        description="Who is told of failed runs: a webhook that takes JSON with a `text` (Slack, Mattermost), or "
        "`package.module:function`.",
    )
    lock_wait_s: float = Field(
        600, ge=0, description="How long a run waits for another one on the same project, and a command for a pool."
    )

    @field_validator("owners", mode="before")
    @classmethod
    def _are_owners(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return json.loads(value) if value.startswith("[") else tuple(filter(None, map(str.strip, value.split(","))))

    @field_validator("owners")
    @classmethod
    def _is_owner(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        strange = next((owner for owner in value if not _OWNER.fullmatch(owner)), None)
        if strange is not None:
            raise ValueError(f"{strange!r} is neither a team, like team:search, nor an address, like ada@example.com")
        return value

    @field_validator("refresh_cron", "maintenance_cron")
    @classmethod
    def _is_cron(cls, value: str) -> str:
        return check_cron(value)

    @field_validator("notify")
    @classmethod
    def _is_target(cls, value: SecretStr | None) -> SecretStr | None:
        # Whoever is to be told of a failure would not hear that nobody is.
        if value is not None and not _TARGET.fullmatch(value.get_secret_value()):
            raise ValueError("neither a URL, like https://hooks.example.com/x, nor `package.module:function`")
        return value

    @field_validator("time_zone")
    @classmethod
    def _is_time_zone(cls, value: str) -> str:
        return check_time_zone(value)


def load_settings() -> Settings:
    """The settings in force; a value that cannot be is a UsageError that names its variable."""
    return _load(_environment())


def resolve_settings(given: Settings | Mapping[str, Any]) -> Settings:
    """As they are given; what a mapping does not name is as in the environment.

    Raises UsageError for a value that cannot be, and for an unknown name with the nearest known one.
    """
    if isinstance(given, Settings):
        return given
    if not isinstance(given, Mapping):
        raise UsageError(f"settings is a {type(given).__name__}; make it a rag_assets.Settings, or a mapping of names.")
    known = list(Settings.model_fields)
    unknown = next((str(name) for name in given if name not in known), None)
    if unknown is not None:
        raise UsageError(f"settings: {unknown_name_message(unknown, known)}")
    try:
        return Settings(**given)
    except ValidationError as error:
        raise _refusal(error, given) from None


def _environment() -> tuple[object, ...]:
    """All that settings are made of: as long as it is the same, they need not be read and validated again."""
    file = Path(".env")
    stat = file.stat() if file.is_file() else None
    ours = sorted((name, value) for name, value in os.environ.items() if name.upper().startswith("RAG_ASSETS_"))
    return Path.cwd(), stat and (stat.st_mtime_ns, stat.st_size), *ours


@lru_cache(maxsize=8)
def _load(_environment: tuple[object, ...]) -> Settings:
    try:
        return Settings()
    except ValidationError as error:
        raise _refusal(error, {}) from None


def _refusal(error: ValidationError, given: Mapping[str, Any]) -> UsageError:
    first = error.errors()[0]
    name = str(first["loc"][0])
    where = "it" if name in given else "it in the environment or in .env"
    shown = "" if "url" in name or name == "notify" else f" {first['input']!r}"
    called = f"settings: {name}" if name in given else f"RAG_ASSETS_{name.upper()}"
    return UsageError(f"{called}{shown}: {pydantic_message(first['msg'])}; correct {where}.")
