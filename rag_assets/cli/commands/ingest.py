"""rag-assets ingest: everything, for one project, in one run."""

import json
import sys
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rag_assets.errors import UsageError
from rag_assets.settings.settings import load_settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from rag_assets.cli.runtime.run_job import Outcome

STAGES = ("raw_documents", "chunks", "embeddings", "hnsw_index", "live_space")


def ingest(
    source: Annotated[
        str | None,
        typer.Argument(help="A folder, a file, or an fsspec URL; without it, the project's own source again."),
    ] = None,
    project: Annotated[str | None, typer.Option(help="The project's name; made of the source by default.")] = None,
    include: Annotated[list[str] | None, typer.Option(help="Only files that match, like *.md or docs/**.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="No files that match.")] = None,
    questions: Annotated[
        str | None,
        typer.Option(help="Judged questions (JSONL or BEIR) that every run asks of this project; '' for none."),
    ] = None,
    threshold: Annotated[
        list[str] | None, typer.Option(help="What they must reach for the run to pass, like ndcg@10=0.7.")
    ] = None,
    language: Annotated[
        str | None, typer.Option(help="What the words are in, for search by words; english by default.")
    ] = None,
    confirm_deletions: Annotated[
        bool, typer.Option("--confirm-deletions", help="Do delete, even if most documents have vanished.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Read documents again that could not be read before.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")] = False,
) -> None:
    """Read, cut, embed and index a source, check everything, and serve it."""
    from rag_assets.cli.output import progress_bars
    from rag_assets.cli.runtime import installation
    from rag_assets.cli.runtime.run_job import finish, run_job
    from rag_assets.db.database import shared_engine
    from rag_assets.orchestration.partitions import projects
    from rag_assets.pipeline.target.wanted_space import target_space

    started = time.perf_counter()
    settings = installation.enter()
    # A wrong setting shows here, before any run is started.
    target_space(settings)
    engine = shared_engine(settings)
    name = _prepare(engine, source, project, include, exclude, questions, threshold, language)
    installation.instance().add_dynamic_partitions(str(projects.name), [name])
    config = {"confirm_deletions": confirm_deletions, "retry_failed": retry_failed}
    with nullcontext() if as_json else progress_bars.shown():
        outcome = run_job("ingest", partition_key=name, config={"ops": {"raw_documents": {"config": config}}})
    report = _report(engine, name, outcome, time.perf_counter() - started)
    failed = outcome.error if not outcome.success else None
    if as_json:
        sys.stdout.write(json.dumps(report, default=str) + "\n")
    else:
        from rag_assets.cli.output import reports

        reports.ingest_report(report, outcome.checks)
        if failed is None:
            reports.sample_answer(engine, settings, name)
    finish(outcome)


def _prepare(
    engine: "Engine",
    source: str | None,
    project: str | None,
    include: list[str] | None,
    exclude: list[str] | None,
    questions: str | None,
    thresholds: list[str] | None,
    language: str | None,
) -> str:
    """Make or find the project; opening the source now tells of a wrong one before any run is started."""
    from rag_assets.db.schema.text_search import check_language
    from rag_assets.documents.sources import TOPICS_NAME, TOPICS_URI, canonical_uri, open_source
    from rag_assets.projects.declarations import read_declarations
    from rag_assets.projects.reconcile import check_not_declared, reconcile_projects
    from rag_assets.projects.store import check_project_name, find_project, save_project, slugify
    from rag_assets.search.evaluation.thresholds import set_quality_requirement

    name = check_project_name(project) if project else None
    declarations = read_declarations(load_settings())
    with engine.begin() as connection:
        if declarations is not None:
            reconcile_projects(connection, declarations)
        known = find_project(connection, name) if name else None
        if source is None and name and known is None:
            raise UsageError(
                f"there is no project {name!r} yet; name its source: rag-assets ingest SOURCE --project {name}."
            )
        uri = canonical_uri(source) if source is not None else known.source_uri if known else TOPICS_URI
        name = name or (TOPICS_NAME if uri == TOPICS_URI else slugify(uri.rstrip("/").rsplit("/", 1)[-1]))
        known = known or find_project(connection, name)
        if known and known.source_uri != uri and project is None:
            raise UsageError(
                f"the project {name!r} already has another source, {known.source_uri}; "
                f"give this one a name of its own with --project, or name {name!r} to change its source."
            )
        settings = dict(known.settings) if known else {}
        if include is not None or exclude is not None or source is not None:
            settings |= {"include": include or [], "exclude": exclude or []}
        settings = set_quality_requirement(settings, questions, thresholds)
        if language is not None:
            settings["language"] = check_language(connection, language)
        open_source(uri, include=settings.get("include", ()), exclude=settings.get("exclude", ())).close()
        if known is None or known.removed_at or (known.source_uri, known.settings) != (uri, settings):
            check_not_declared(declarations, name)
            save_project(connection, name, uri, settings)
    return name


def _report(engine: "Engine", project: str, outcome: "Outcome", total_s: float) -> dict[str, Any]:
    """The contract of `--json`; figures of stages that did not run are 0."""
    from rag_assets.db.reports.counts import count_project

    documents, chunks, embeddings = (outcome.figures.get(stage, {}) for stage in STAGES[:3])
    with engine.connect() as connection:
        counts = count_project(connection, project)
    return {
        "project": project,
        "documents": {
            "seen": int(documents.get("seen", 0)),
            "new": documents.get("inserted", 0),
            "changed": documents.get("updated", 0),
            "unchanged": int(documents.get("unchanged", 0)),
            "deleted": documents.get("deleted", 0),
            "failed": int(documents.get("failed", 0) + documents.get("still_failed", 0)),
        },
        "chunks": {
            "total": counts.chunks,
            "written": chunks.get("inserted", 0) + chunks.get("updated", 0),
            "deleted": chunks.get("deleted", 0),
        },
        "texts": {
            "distinct": int(embeddings.get("distinct", counts.texts)),
            "embedded": int(embeddings.get("embedded", 0)),
            "reused": int(embeddings.get("reused", 0)),
        },
        "vectors": counts.vectors,
        "seconds": {"total": round(total_s, 3)}
        | {stage: round(outcome.figures.get(stage, {}).get("seconds", 0.0), 3) for stage in STAGES},
        "checks": [check.as_json() for check in outcome.checks],
        "run_ids": [outcome.run_id],
    }
