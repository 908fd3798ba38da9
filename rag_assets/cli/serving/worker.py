"""rag-assets worker: execute runs that Dagster's daemon sends to the broker."""

from typing import Annotated

import typer

from rag_assets.errors import UsageError


def worker(
    name: Annotated[str, typer.Option(help="Name of the worker on this machine; give each its own.")] = "worker",
    concurrency: Annotated[
        int, typer.Option(min=1, max=64, help="Runs at a time. Each has a process, and a model of its own.")
    ] = 1,
    queue: Annotated[
        list[str] | None,
        typer.Option(help="Take the runs of this queue (tag dagster-celery/queue); repeatable. Without it: dagster."),
    ] = None,
) -> None:
    """Execute runs until Ctrl-C or SIGTERM, which let the running ones end. Needs RAG_ASSETS_WORKERS."""
    import dagster as dg

    from rag_assets.cli.runtime import installation
    from rag_assets.db.database import dispose_engines, writable_engine
    from rag_assets.orchestration.assets.policies import INDEX_POOL
    from rag_assets.orchestration.workers.broker import broker_address

    settings = installation.enter()
    if not settings.workers:
        raise UsageError(
            "a worker has nothing to do without RAG_ASSETS_WORKERS=true; set it here and where `rag-assets ui` or "
            "Dagster's daemon runs, with the same RAG_ASSETS_DAGSTER_DATABASE."
        )
    if settings.database_url is None:
        raise UsageError(
            "workers need a database that all machines reach; set RAG_ASSETS_DATABASE_URL to the address of a server."
        )
    from rag_assets.orchestration.workers.worker import limit_pool, run_worker

    address = broker_address(settings)
    # Checked and upgraded once, here. No connection may be open when Celery starts its processes.
    writable_engine(settings)
    with dg.DagsterInstance.get() as instance:
        limit_pool(instance, INDEX_POOL, 1)
    dispose_engines()
    kind = "Redis" if address.startswith("redis") else "PostgreSQL" if address.startswith("sqla+") else "the broker"
    typer.echo(f"worker {name} takes runs from {kind}", err=True)
    run_worker(settings, name=name, concurrency=concurrency, queues=queue or [])
