"""The check that no document holds personal data."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, Text, cast, select

from rag_assets.db.models import Document, Project, StagedDocument
from rag_assets.db.reports.document_remarks import in_projects
from rag_assets.documents.personal_data.step import PersonalDataStep, describe_personal_data
from rag_assets.pipeline.audit.result import EXAMPLES, CheckResult

_PAGE_ROWS = 500


def no_personal_data(engine: Engine, step: PersonalDataStep, projects: Sequence[str] | None = None) -> CheckResult:
    """Reads every document of the projects, and every next version that waits: titles, texts and metadata."""
    documents = 0
    total: Counter[str] = Counter()
    holders: dict[str, Counter[str]] = {}
    for version in (Document, StagedDocument):
        for project, path, *texts in _read(engine, version, projects):
            documents += 1
            if found := step.count(*(one or "" for one in texts)):
                total += found
                holders[f"{project}/{path}"] = found
    examples = [f"{name}: {describe_personal_data(found)}" for name, found in list(holders.items())[:EXAMPLES]]
    return CheckResult(
        not holders,
        {"documents": documents, "with_personal_data": len(holders), **total, "examples": examples},
        f"{len(holders)} of {documents} documents hold personal data: {describe_personal_data(total)}",
    )


def _read(
    engine: Engine, version: type[Document | StagedDocument], projects: Sequence[str] | None
) -> Iterator[tuple[Any, ...]]:
    """Project, path, title, text and metadata, in pages; no transaction is open while they are looked at."""
    after: UUID | None = None
    columns = (Project.name, Document.file_path, version.title, version.content, cast(version.doc_metadata, Text))
    statement: Any = select(Document.id, *columns).join_from(Document, Project).where(in_projects(projects))
    if version is StagedDocument:
        statement = statement.join(StagedDocument, StagedDocument.id == Document.id)
    while True:
        page = statement if after is None else statement.where(Document.id > after)
        with engine.connect() as connection:
            rows = connection.execute(page.order_by(Document.id).limit(_PAGE_ROWS)).all()
        if not rows:
            return
        after = rows[-1][0]
        for row in rows:
            yield tuple(row[1:])
