"""rag-assets ingest: bring one project up to date in one run."""

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rag_assets.cli.options import JsonOption, VerboseOption
from rag_assets.errors import UsageError
from rag_assets.settings.settings import load_settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from rag_assets.cli.runtime.run_job import RunOutcome

MOST_REMARKS = 100
STAGES = ("raw_documents", "chunks", "embeddings", "hnsw_index", "live_space")


def ingest(
    source: Annotated[
        str | None,
        typer.Argument(
            help="A folder, a file, a URL (of fsspec or of your own source type), or rows of a database (sql+...). "
            "Without it: the project's source, or Python's own documentation topics."
        ),
    ] = None,
    project: Annotated[str | None, typer.Option(help="Name of the project. Without it: made from the source.")] = None,
    include: Annotated[
        list[str] | None, typer.Option(help="Only files that match this glob, like *.md or docs/**; repeatable.")
    ] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="No files that match this glob; repeatable.")] = None,
    questions: Annotated[
        str | None,
        typer.Option(help="Evaluation queries (JSONL or BEIR) that each run of the project checks. '' removes them."),
    ] = None,
    threshold: Annotated[
        list[str] | None,
        typer.Option(help="Lowest value of a metric of the evaluation queries, like ndcg@10=0.7; repeatable."),
    ] = None,
    language: Annotated[
        str | None, typer.Option(help="Language of the documents, for keyword search. Without it: english.")
    ] = None,
    confirm_deletions: Annotated[
        bool, typer.Option("--confirm-deletions", help="Delete documents even if more than half are gone.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Read documents again that could not be read before.")
    ] = False,
    verbose: VerboseOption = False,
    as_json: JsonOption = False,
) -> None:
    """Read, split, embed and index a source, check the result, and serve it to searches.

    Run it again to bring the project up to date: only what changed is read and embedded.
    """
    from rag_assets.cli.output.console import print_json
    from rag_assets.cli.output.progress_bars import show_progress
    from rag_assets.cli.output.runs import print_ingest, print_sample_answer
    from rag_assets.cli.runtime import installation
    from rag_assets.cli.runtime.project_ranges import project_ranges
    from rag_assets.cli.runtime.run_job import exit_on_failure, run_job
    from rag_assets.db.database import writable_engine
    from rag_assets.pipeline.target.wanted_space import asks_for_other_chunks, target_space

    started = time.perf_counter()
    settings = installation.enter_background()
    # Fails on an invalid setting before a run is started.
    target = target_space(settings)
    engine = writable_engine(settings)
    name = prepare_project(engine, ProjectOptions(source, project, include, exclude, questions, threshold, language))
    # The shards of a project are one range.
    [(first, last)] = project_ranges(engine, only={name})
    config = {"confirm_deletions": confirm_deletions, "retry_failed": retry_failed}
    with show_progress(visible=not as_json):
        if asks_for_other_chunks(engine, target):
            _split_other_projects(engine, name)
        outcome = run_job(
            "ingest",
            partition_key=name if first == last else None,
            partition_range=None if first == last else (first, last),
            config={"ops": {"raw_documents": {"config": config}}},
        )
    report = _report(engine, name, outcome, time.perf_counter() - started, has_shards=first != last)
    if as_json:
        print_json(report)
    elif outcome.figures:
        print_ingest(report, outcome.checks, verbose=verbose)
        if outcome.success:
            print_sample_answer(engine, settings, name)
    exit_on_failure(outcome)


@dataclass(frozen=True, slots=True)
class ProjectOptions:
    """The options of `ingest` that are stored with the project; None leaves a stored setting as it is."""

    source: str | None = None
    project: str | None = None
    include: list[str] | None = None
    exclude: list[str] | None = None
    questions: str | None = None
    thresholds: list[str] | None = None
    language: str | None = None


def prepare_project(engine: "Engine", options: ProjectOptions) -> str:
    """Create or update the project and return its name. Opens the source: a wrong one fails before a run is started."""
    from rag_assets.db.schema.text_search import check_language
    from rag_assets.documents.sources import TOPICS_NAME, TOPICS_URI, GivenSource, open_source, source_name
    from rag_assets.projects.declarations import read_declarations
    from rag_assets.projects.reconcile import check_not_declared, reconcile_projects
    from rag_assets.projects.store import check_project_name, find_project, save_project, slugify
    from rag_assets.search.evaluation.thresholds import set_quality_requirement

    project, include, exclude = options.project, options.include, options.exclude
    given = None if options.source is None else GivenSource.parse(options.source)
    name = check_project_name(project) if project else None
    declarations = read_declarations(load_settings())
    with engine.begin() as connection:
        if declarations is not None:
            reconcile_projects(connection, declarations)
        known = find_project(connection, name) if name else None
        if given is None and name and known is None:
            raise UsageError(
                f"there is no project {name!r} yet; name its source: rag-assets ingest SOURCE --project {name}."
            )
        uri = given.uri if given is not None else known.source_uri if known else TOPICS_URI
        name = name or (TOPICS_NAME if uri == TOPICS_URI else slugify(source_name(uri)))
        known = known or find_project(connection, name)
        if known and known.source_uri != uri and project is None:
            raise UsageError(
                f"the project {name!r} already has another source, {known.source_uri}; "
                f"give this one a name of its own with --project, or name {name!r} to change its source."
            )
        settings = dict(known.settings) if known else {}
        if include is not None or exclude is not None or given is not None:
            settings |= {"include": include or [], "exclude": exclude or []}
        settings = set_quality_requirement(settings, options.questions, options.thresholds)
        if options.language is not None:
            settings["language"] = check_language(connection, options.language)
        globs = {key: settings.get(key, ()) for key in ("include", "exclude")}
        open_source(uri, **globs, project=name, password=given.password if given else None).close()
        if given is not None:
            given.keep_password(load_settings().state_dir)
        if known is None or known.removed_at or (known.source_uri, known.settings) != (uri, settings):
            check_not_declared(declarations, name)
            save_project(connection, name, uri, settings)
    return name


def _split_other_projects(engine: "Engine", project: str) -> None:
    """Split and embed the stored documents of all other projects: the new space serves when it has every project."""
    from rag_assets.cli.output.console import print_error
    from rag_assets.cli.runtime.project_ranges import project_ranges
    from rag_assets.cli.runtime.run_job import run_job

    others = project_ranges(engine, excluded={project})
    if others:
        print_error("rag-assets: documents are split in another way than before; all projects are split again")
    for keys in others:
        # What fails here keeps the new space from serving, and the run that follows says why.
        run_job("ingest", partition_range=keys, only=("chunks", "embeddings"))


def _report(
    engine: "Engine", project: str, outcome: "RunOutcome", total_s: float, *, has_shards: bool
) -> dict[str, Any]:
    """The object that --json prints. Figures of stages that did not run are 0."""
    from rag_assets.db.reports.counts import count_project
    from rag_assets.db.reports.document_remarks import find_remarks
    from rag_assets.projects.store import get_project

    documents, chunks, embeddings = (outcome.figures.get(stage, {}) for stage in STAGES[:3])
    with engine.connect() as connection:
        counts = count_project(connection, project)
        remarks = find_remarks(connection, [project], limit=MOST_REMARKS)
        forgotten = len(get_project(connection, project).settings.get("forgotten", ()))
    # A text may be in several shards.
    distinct = counts.texts if has_shards else int(embeddings.get("distinct", counts.texts))
    embedded = int(embeddings.get("embedded", 0))
    reused = max(0, distinct - embedded) if has_shards else int(embeddings.get("reused", 0))
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
            "distinct": distinct,
            "embedded": embedded,
            "reused": reused,
            **{name: int(embeddings[name]) for name in ("submitted",) if name in embeddings},
        },
        **{name: embeddings[name] for name in ("billed_tokens", "cost") if name in embeddings},
        "vectors": counts.vectors,
        **({"forgotten": forgotten} if forgotten else {}),
        "remarks": [asdict(remark) for remark in remarks],
        "seconds": {"total": round(total_s, 3)}
        | {stage: round(outcome.figures.get(stage, {}).get("seconds", 0.0), 3) for stage in STAGES},
        "checks": [check.as_json() for check in outcome.checks],
        "run_ids": [outcome.run_id],
    }
