"""Settings of an installation on more than one machine: Dagster's own database, workers, and how runs are divided."""

from typing import Literal

from pydantic import Field, SecretStr

from rag_assets.settings.personal_data import PersonalDataSettings


class DistributionSettings(PersonalDataSettings):
    dagster_database: SecretStr | None = Field(
        None,
        description="Database of Dagster's own storage (extra `postgres`): the name of one on the server of "
        "DATABASE_URL, like dagster, or an address. It is created where it is missing. Unset: SQLite files in "
        "DAGSTER_HOME.",
    )
    workers: bool = Field(
        False,
        description="Let `rag-assets worker` execute the runs (extra `celery`), on any number of machines, instead of "
        "processes beside the daemon. Needs DAGSTER_DATABASE.",
    )
    broker_url: SecretStr | None = Field(
        None,
        description="Address of Celery's broker: redis://host:6379/0 or amqp://user:password@host:5672//. Unset: "
        "tables in the database of DAGSTER_DATABASE.",
    )
    executor: Literal["in_process", "multiprocess"] = Field(
        "in_process",
        description="Whether all steps of a run share one process, or have a process each, which takes seconds and "
        "loads the model again.",
    )
    projects_per_run: int | None = Field(
        None,
        ge=1,
        description="Projects or shards that one run of a backfill or of the nightly refresh takes. Unset: 1 with "
        "WORKERS, so that they share the projects, else all of them.",
    )

    @property
    def run_size(self) -> int | None:
        """The most projects of one run; None for all."""
        return 1 if self.projects_per_run is None and self.workers else self.projects_per_run
