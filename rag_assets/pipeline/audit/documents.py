"""Checks of documents and chunks, from what the tables hold: each is a query or a bounded stream.

`projects` restricts a check: a run over some projects must not fail because of another one that is being ingested.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Engine, case, exists, false, func, select, true

from rag_assets.db.models import Document, DocumentChunk, DocumentChunking, Project, StagedDocument
from rag_assets.db.models.chunks import EMBEDDED_TEXT
from rag_assets.db.reports.document_remarks import (
    count_documents_of_nobody,
    count_documents_with_notes,
    count_undecoded_documents,
    find_remarks,
    in_projects,
    undecoded_documents,
)
from rag_assets.db.reports.unknown_alphabets import ADVICE, MOST_UNKNOWN_SHARE, unknown_alphabets
from rag_assets.db.spaces.pending import has_staged_split
from rag_assets.db.writes.batching import group_documents
from rag_assets.db.writes.invalidate import id_in
from rag_assets.documents.splitting.tokenizer import count_tokens
from rag_assets.pipeline.audit.result import EXAMPLES, CheckResult, rows_read
from rag_assets.pipeline.charts import check_charts
from rag_assets.pipeline.charts.markdown import table

if TYPE_CHECKING:
    from tokenizers import Tokenizer

RECOUNTED_CHUNKS = 50
MOST_FAILED_DOCUMENTS = 50


def documents_readable(engine: Engine, projects: Sequence[str] | None = None) -> CheckResult:
    failed = (
        select(Project.name, Document.file_path, Document.error)
        .join(Project, Project.id == Document.project_id)
        .where(Document.status == "failed", in_projects(projects))
        .order_by(Project.name, Document.file_path)
    )
    kinds = (
        select(Document.file_type, Document.status, func.count())
        .where(in_projects(projects))
        .group_by(Document.file_type, Document.status)
        .order_by(func.count().desc(), Document.file_type, Document.status)
    )
    largest = (
        select(Project.name, Document.file_path, Document.size_bytes)
        .join(Project, Project.id == Document.project_id)
        .where(in_projects(projects))
        .order_by(Document.size_bytes.desc().nulls_last(), Project.name, Document.file_path)
        .limit(EXAMPLES)
    )
    with engine.connect() as connection:
        counts = connection.execute(kinds).all()
        large = connection.execute(largest).all()
        number_undecoded, characters = count_undecoded_documents(connection, projects)
        undecoded = (
            connection.execute(undecoded_documents(projects).limit(MOST_FAILED_DOCUMENTS)).all()
            if number_undecoded
            else []
        )
        noted = count_documents_with_notes(connection, projects)
        of_nobody = count_documents_of_nobody(connection, projects)
        remarks = find_remarks(connection, projects, limit=MOST_FAILED_DOCUMENTS) if noted or of_nobody else []
        number = sum(count for _, status, count in counts if status == "failed")
        rows = connection.execute(failed.limit(MOST_FAILED_DOCUMENTS)).all() if number else []
    total = sum(count for _, _, count in counts)
    by_type: dict[str, dict[str, int]] = {}
    for file_type, status, count in counts:
        by_type.setdefault(file_type, {})[status] = count
    tables: dict[str, Any] = {"chart": check_charts.documents_by_type(by_type)} if by_type else {}
    if rows:
        tables["failed_documents"] = table(("project", "document", "reason"), rows)
    if undecoded:
        tables["undecoded_documents"] = table(("project", "document", "characters"), undecoded)
    if large:
        tables["largest_documents"] = table(("project", "document", "bytes"), large)
    examples = [f"{project}/{path}: {error}" for project, path, error in rows]
    # The remarks say it of theirs.
    remarked = {(one.project, one.file_path) for one in remarks}
    examples += [
        f"{project}/{path}: {count} characters replaced"
        for project, path, count in undecoded
        if (project, path) not in remarked
    ]
    notes = [(one.project, one.file_path, note) for one in remarks for note in one.notes]
    examples += [f"{project}/{path}: {note}" for project, path, note in notes]
    if notes:
        tables["remarks"] = table(("project", "document", "remark"), notes)
    reasons = (
        [f"{number} of {total} documents could not be read"] if number or not (undecoded or noted or of_nobody) else []
    )
    if undecoded:
        reasons.append(
            f"{number_undecoded} of {total} documents have characters that could not be decoded ({characters})"
        )
    if noted:
        reasons.append(f"{noted} of {total} documents were not read as a whole")
    if of_nobody:
        reasons.append(f"{of_nobody} of {total} documents are nobody's, since their readers are not declared well")
    return CheckResult(
        number == 0 and not undecoded and not noted and not of_nobody,
        {
            "documents": total,
            "failed": number,
            "replaced_characters": characters,
            "with_remarks": noted,
            "of_nobody": of_nobody,
            "threshold": 0,
            "examples": examples[:EXAMPLES],
            **tables,
        },
        ", ".join(reasons),
    )


def model_knows_alphabet(
    engine: Engine, chunking: str, model: str, projects: Sequence[str] | None = None
) -> CheckResult:
    """No document is in letters that the model's tokenizer mostly does not know."""
    unknown = unknown_alphabets(chunking).where(in_projects(projects))
    with engine.connect() as connection:
        rows = connection.execute(unknown).all()
        total = connection.scalar(select(func.count()).select_from(Document).where(in_projects(projects))) or 0
    shown = [(project, path, f"{share:.0%}") for project, path, share in rows[:MOST_FAILED_DOCUMENTS]]
    return CheckResult(
        not rows,
        {
            "documents": total,
            "unknown": len(rows),
            "threshold": MOST_UNKNOWN_SHARE,
            "examples": [f"{project}/{path}: {share} unknown" for project, path, share in shown[:EXAMPLES]],
            **({"unknown_documents": table(("project", "document", "unknown"), shown)} if shown else {}),
        },
        f"{len(rows)} of {total} documents are in letters that {model} mostly does not know; {ADVICE}",
    )


def documents_have_chunks(
    engine: Engine,
    chunking: str,
    projects: Sequence[str] | None = None,
    part: Sequence[UUID] | None = None,
) -> CheckResult:
    """Every document with text has all chunks of this chunking, made of its current text.

    So has its next version, where one waits for its vectors; a new document may have none but those that wait.
    `part` are the documents whose chunks are counted, here and in the checks below; with None, all.
    """
    # For each document by the index: right after a first load, the server knows too little to join whole tables well.
    chunks = (
        select(func.count().label("number"))
        .select_from(DocumentChunk)
        .where(DocumentChunk.document_id == Document.id, DocumentChunk.chunking == chunking)
        .lateral("chunks")
    )
    stamp = DocumentChunking
    is_split = func.coalesce(
        (stamp.content_hash == Document.content_hash) & (chunks.c.number > 0) & (chunks.c.number == stamp.chunk_count),
        false(),
    )
    has_next = exists().where(StagedDocument.id == Document.id)
    waits = has_staged_split(chunking)
    wrong = (
        select(Project.name, Document.file_path)
        .join(Project, Project.id == Document.project_id)
        .outerjoin(stamp, (stamp.document_id == Document.id) & (stamp.chunking == chunking))
        .join(chunks, true())
        .where(in_projects(projects), _in_part(Document.id, part))
        .where(~((is_split & (~has_next | waits)) | (~has_next & waits)))
        # A text of nothing but white space has no chunks. Last, since it reads the text.
        .where(case((Document.content.is_(None), False), else_=Document.content.op("~")(r"\S")))
        .order_by(Project.name, Document.file_path)
    )
    with engine.connect() as connection:
        rows = connection.execute(wrong).all()
        total = connection.scalar(select(func.count()).select_from(Document).where(in_projects(projects))) or 0
    return CheckResult(
        not rows,
        {
            "documents": total,
            "without_their_chunks": len(rows),
            "threshold": 0,
            "examples": [f"{project}/{path}" for project, path in rows[:EXAMPLES]],
            **rows_read(total if part is None else len(part), total),
        },
        f"{len(rows)} of {total} documents lack chunks of their text",
    )


def offsets_reproduce_text(
    engine: Engine, chunking: str, projects: Sequence[str] | None = None, part: Sequence[UUID] | None = None
) -> CheckResult:
    """`content[char_start:char_end] == chunk_text`, and the stored hashes match what is embedded.

    Reads in bounded groups.
    """
    # Documents whose text is newer than their chunks are left out: documents_have_chunks reports them.
    split = (
        select(Document.id, func.octet_length(Document.content))
        .join(
            DocumentChunking,
            (DocumentChunking.document_id == Document.id)
            & (DocumentChunking.chunking == chunking)
            & (DocumentChunking.content_hash == Document.content_hash),
        )
        .where(in_projects(projects), _in_part(Document.id, part))
        .order_by(Document.id)
    )
    chunks = select(
        DocumentChunk.document_id,
        DocumentChunk.chunk_index,
        DocumentChunk.char_start,
        DocumentChunk.char_end,
        DocumentChunk.chunk_text,
        func.sha256(func.convert_to(EMBEDDED_TEXT, "UTF8")) == DocumentChunk.content_hash,
    ).where(DocumentChunk.chunking == chunking)
    hash_matches = func.sha256(func.convert_to(Document.content, "UTF8")) == Document.content_hash
    checked, wrong, changed = 0, [], []
    # One chunk for each document: its neighbours would show little else.
    sample: dict[UUID, tuple[str, int, str]] = {}
    with engine.connect() as connection:
        for group in group_documents((id_, size) for id_, size in connection.execute(split).all()):
            documents = select(Document.id, Document.file_path, Document.content, hash_matches).where(
                Document.id.in_(group)
            )
            texts = {}
            for id_, path, content, matches in connection.execute(documents):
                texts[id_] = path, content or ""
                if not matches:
                    changed.append(f"{path}, its whole text")
            for id_, index, start, end, text, matches in connection.execute(
                chunks.where(DocumentChunk.document_id.in_(group))
            ):
                path, content = texts.get(id_, ("", ""))
                checked += 1
                if len(sample) < EXAMPLES:
                    sample.setdefault(id_, (path, index, text))
                if content[start:end] != text or not matches:
                    wrong.append(f"{path} chunk {index} [{start}:{end}]")
        total = checked if part is None else count_stamped_chunks(connection, chunking, projects)
    examples = sorted(wrong)[:EXAMPLES] or sorted(changed)[:EXAMPLES]
    return CheckResult(
        not wrong and not changed,
        {
            "chunks": total,
            "wrong": len(wrong),
            "documents_changed": len(changed),
            "threshold": 0,
            "examples": examples,
            **rows_read(checked, total),
            **({"sample": table(("document", "chunk", "text"), list(sample.values()))} if sample else {}),
        },
        f"{len(wrong)} of {checked} chunks differ from the text at their offsets, "
        f"{len(changed)} documents do not match their hash",
    )


def chunks_fit_window(
    engine: Engine, chunking: str, tokenizer: "Tokenizer", max_tokens: int, part: Sequence[UUID] | None = None
) -> CheckResult:
    """No chunk is longer than the model's window; the longest ones are counted again with the model's tokenizer."""
    read = (DocumentChunk.chunking == chunking) & _in_part(DocumentChunk.document_id, part)
    chunks = select(EMBEDDED_TEXT).where(read)
    with engine.connect() as connection:
        counted = connection.execute(
            select(DocumentChunk.token_count, func.count()).where(read).group_by(DocumentChunk.token_count)
        )
        lengths = dict(iter(counted))
        texts = {
            *connection.scalars(chunks.order_by(DocumentChunk.token_count.desc()).limit(RECOUNTED_CHUNKS)),
            *connection.scalars(chunks.order_by(func.octet_length(EMBEDDED_TEXT).desc()).limit(RECOUNTED_CHUNKS)),
        }
        checked = sum(lengths.values())
        total = checked if part is None else count_stamped_chunks(connection, chunking)
    counts = count_tokens(tokenizer, list(texts))
    most = max([0, *lengths, *counts])
    return CheckResult(
        most <= max_tokens,
        {
            "chunks": total,
            "longest_tokens": most,
            "threshold": max_tokens,
            "counted_again": len(counts),
            **rows_read(checked, total),
            **({"chart": check_charts.chunk_lengths(lengths, max_tokens)} if lengths else {}),
        },
        f"a chunk has {most} tokens, more than the {max_tokens} of the model's window",
    )


def _in_part(column: Any, part: Sequence[UUID] | None) -> ColumnElement[bool]:
    return true() if part is None else id_in(column, part)


def count_stamped_chunks(connection: Connection, chunking: str, projects: Sequence[str] | None = None) -> int:
    """The number of chunks by the stamps of their documents: one narrow row for each."""
    statement = select(func.sum(DocumentChunking.chunk_count)).where(DocumentChunking.chunking == chunking)
    if projects is not None:
        statement = statement.join(Document, Document.id == DocumentChunking.document_id).where(in_projects(projects))
    return int(connection.scalar(statement) or 0)
