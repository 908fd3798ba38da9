"""The settings of an installation, from environment variables (RAG_ASSETS_…) and `.env` in the working directory."""

import json
import os
import re
from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import NoDecode

from rag_assets.errors import UsageError, pydantic_message, unknown_name_message
from rag_assets.settings.cron import check_cron, check_time_zone
from rag_assets.settings.distribution import DistributionSettings

_NOTIFY_TARGET = re.compile(r"https?://\S+|[\w.]+:\w+")
# The owners that Dagster accepts.
_OWNER = re.compile(r"team:.+|[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,7}")


class Settings(DistributionSettings):
    """All settings; each field is the environment variable RAG_ASSETS_<NAME>."""

    owners: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Owners of the assets in Dagster, separated by commas: teams (`team:search`) or e-mail addresses.",
    )
    latency_limit_ms: float = Field(
        100, gt=0, description="The check search_latency fails when the p95 of searches reaches so many milliseconds."
    )
    recall_limit: float = Field(
        0.95, gt=0, le=1, description="The check recall_at_10 fails when the mean recall@10 of the index is below it."
    )

    check_rotation_runs: int = Field(
        10,
        ge=1,
        le=1_000,
        description="Runs within which the checks of ingests read every row again: each run reads what changed, and "
        "the next part of the rest. 1 reads everything in each run, as `rag-assets check --full` does.",
    )
    previous_space_days: float = Field(
        7,
        ge=0,
        description="Days for which the previous space is kept and updated after another one was promoted, so that "
        "`rag-assets spaces rollback` can return to it.",
    )
    quality_tolerance: float = Field(
        0.02,
        ge=0,
        le=1,
        description="How far nDCG@10 and recall@10 of a project's evaluation queries may fall below those of the live "
        "space when another space is promoted.",
    )

    maintenance_cron: str = Field(
        "30 4 * * 0",
        validate_default=False,
        description="Schedule of the maintenance: a cron expression of five fields, in UTC. Sunday at 4:30.",
    )
    vacuum_dead_share_limit: float = Field(
        0.1, gt=0, lt=1, description="Share of dead rows in a table above which the maintenance vacuums it."
    )
    expired_kept_days: float = Field(
        30, ge=0, description="Days after which the maintenance deletes expired sessions and memories for good."
    )

    messages_since: date = Field(
        date(2024, 1, 1), description="First day (UTC) whose messages are embedded: the first daily partition."
    )
    messages_window_days: int = Field(
        7,
        ge=1,
        le=366,
        description="Days before today whose messages the nightly backfill checks again.",
    )

    projects: str | None = Field(
        None,
        description="Where projects are declared: a YAML file, or `package.module:name` of a list. Unset: "
        "`projects.yaml` in the state folder, if it exists.",
    )
    refresh_cron: str = Field(
        "0 2 * * *",
        validate_default=False,
        description="Schedule of the nightly refresh of all projects: a cron expression in TIME_ZONE.",
    )
    time_zone: str = Field(
        "UTC", validate_default=False, description="Time zone of the projects' schedules, like Europe/Berlin."
    )
    stale_after_hours: float = Field(
        36,
        ge=0.02,
        le=1_000_000,
        description="Hours after the last refresh from which a project is stale. 36 allows a nightly refresh to come "
        "twelve hours late.",
    )
    automation: bool = Field(
        False, description="Start with schedules and sensors turned on, instead of turning them on in the UI."
    )
    sensor_interval_s: int = Field(
        30,
        ge=1,
        description="Shortest time between two evaluations of a sensor, in seconds. Dagster evaluates every 30 s.",
    )
    notify: SecretStr | None = Field(
        None,
        description="Receiver of messages about failed runs: a webhook that takes JSON with a `text` (Slack, "
        "Mattermost), or `package.module:function`.",
    )
    background_nice: int = Field(
        0,
        ge=0,
        le=19,
        description="How far ingests, checks, maintenance and index builds give way to searches on the same machine: "
        "the `nice` of their processes, and of their sessions on a server that runs there. 0: not at all.",
    )
    lock_wait_s: float = Field(
        600,
        ge=0,
        description="Longest wait, in seconds, for another run on the same project, and of a command for a pool of "
        "Dagster.",
    )

    @property
    def kept_folder(self) -> Path | None:
        """The state folder, where it holds anything that must last; with both databases elsewhere it does not."""
        return None if self.database_url is not None and self.dagster_database is not None else self.state_dir

    @field_validator("owners", mode="before")
    @classmethod
    def _split_owners(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return json.loads(value) if value.startswith("[") else tuple(filter(None, map(str.strip, value.split(","))))

    @field_validator("owners")
    @classmethod
    def _check_owners(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        invalid = next((owner for owner in value if not _OWNER.fullmatch(owner)), None)
        if invalid is not None:
            raise ValueError(f"{invalid!r} is neither a team, like team:search, nor an address, like ada@example.com")
        return value

    @field_validator("refresh_cron", "maintenance_cron")
    @classmethod
    def _check_cron(cls, value: str) -> str:
        return check_cron(value)

    @field_validator("notify")
    @classmethod
    def _check_notify(cls, value: SecretStr | None) -> SecretStr | None:
        # Checked now: a wrong target would otherwise show only when the first failure is not reported.
        if value is not None and not _NOTIFY_TARGET.fullmatch(value.get_secret_value()):
            raise ValueError("neither a URL, like https://hooks.example.com/x, nor `package.module:function`")
        return value

    @field_validator("time_zone")
    @classmethod
    def _check_time_zone(cls, value: str) -> str:
        return check_time_zone(value)


def load_settings() -> Settings:
    """The settings of the environment. Raises UsageError for an invalid value, with the name of its variable."""
    return _load(_environment_state())


def resolve_settings(settings: Settings | Mapping[str, Any]) -> Settings:
    """Settings from a mapping of names to values; names that are left out come from the environment.

    Raises UsageError for an invalid value, and for an unknown name with the most similar known one.
    """
    if isinstance(settings, Settings):
        return settings
    if not isinstance(settings, Mapping):
        raise UsageError(
            f"settings is a {type(settings).__name__}; make it a rag_assets.Settings, or a mapping of names."
        )
    known = list(Settings.model_fields)
    unknown = next((str(name) for name in settings if name not in known), None)
    if unknown is not None:
        raise UsageError(f"settings: {unknown_name_message(unknown, known)}")
    try:
        return Settings(**settings)
    except ValidationError as error:
        raise _invalid_value(error, settings) from None


def _environment_state() -> tuple[object, ...]:
    """What the settings depend on. While it stays the same, they are not read and validated again."""
    file = Path(".env")
    stat = file.stat() if file.is_file() else None
    variables = sorted((name, value) for name, value in os.environ.items() if name.upper().startswith("RAG_ASSETS_"))
    return Path.cwd(), stat and (stat.st_mtime_ns, stat.st_size), *variables


@lru_cache(maxsize=8)
def _load(_state: tuple[object, ...]) -> Settings:
    try:
        return Settings()
    except ValidationError as error:
        raise _invalid_value(error, {}) from None


def _invalid_value(error: ValidationError, arguments: Mapping[str, Any]) -> UsageError:
    first = error.errors()[0]
    name = str(first["loc"][0])
    # Addresses may hold a password.
    value = "" if "url" in name or name in ("notify", "dagster_database") else f" {first['input']!r}"
    if name in arguments:
        return UsageError(f"settings: {name}{value}: {pydantic_message(first['msg'])}; correct it.")
    return UsageError(
        f"RAG_ASSETS_{name.upper()}{value}: {pydantic_message(first['msg'])}; correct it in the environment or in .env."
    )
