"""Let a check read what changed since it last passed, and a part of the rest: all of it within so many runs.

A check that finds something wrong in its part reads everything at once, so that its figures are complete, and reads
everything again in the next run, until it passes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import Engine, FromClause, func, select, union_all

from rag_assets.db.database import autocommit_connection
from rag_assets.db.index.state import index_identity
from rag_assets.db.models import Document, EmbeddingSpace
from rag_assets.db.reports.document_remarks import in_projects
from rag_assets.db.spaces.partitions import partition
from rag_assets.db.spaces.pending import staged_document_ids
from rag_assets.db.writes.check_progress import (
    CheckScope,
    Watermark,
    current_snapshot,
    forget_counts,
    hash_bounds,
    select_changed_hashes,
    select_documents_to_read,
)
from rag_assets.pipeline.audit import documents, index, promotion, vectors
from rag_assets.pipeline.audit.expected_texts import of_projects
from rag_assets.pipeline.audit.result import CheckResult
from rag_assets.settings.settings import Settings

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# A measurement is taken again when more than this share of the vectors was written since.
REMEASURED_SHARE = 0.01
# They fail while a run has written documents or chunks and not yet what follows from them.
CHECKS_OF_RUNS = ("documents_have_chunks", "texts_have_vectors", "no_orphan_vectors", "serves_wanted_space")


@dataclass(frozen=True, slots=True)
class Reading:
    """How much the checks of a run read: everything, or what changed and a part of `rotation_runs`."""

    engine: Engine
    rotation_runs: int | None = None

    def documents(
        self,
        scope: CheckScope,
        projects: Sequence[str] | None,
        check: Callable[[Sequence[UUID] | None], CheckResult],
        *,
        vectors_of: EmbeddingSpace | None = None,
    ) -> CheckResult:
        """Run a check of documents; `check` gets the ids of those to read, or None for all."""
        with autocommit_connection(self.engine) as connection:
            seen = current_snapshot(connection)
            marks = scope.of_projects(connection, projects)
            part: Sequence[UUID] | None = None
            if self.rotation_runs is not None and any(mark.seen for mark in marks):
                wanted = select_documents_to_read(marks, self.rotation_runs, vectors_of=vectors_of)
                # Triggers record what is written to the tables that searches read: what waits is read every time.
                waiting = connection.scalars(staged_document_ids().where(in_projects(projects)))
                part = list({*connection.scalars(wanted), *waiting})
                all_documents = select(func.count()).select_from(Document).where(in_projects(projects))
                if len(part) >= (connection.scalar(all_documents) or 0):
                    part = None
        return self._run(scope, marks, seen, part, check)

    def vectors(
        self, scope: CheckScope, space: EmbeddingSpace, check: Callable[[FromClause | None], CheckResult]
    ) -> CheckResult:
        """Run a check of a space's vectors; `check` gets the rows to read, or None for the whole partition."""
        with autocommit_connection(self.engine) as connection:
            seen = current_snapshot(connection)
            mark = scope.of_space(connection)
        part = None
        if self.rotation_runs is not None and mark.seen:
            part = _vectors_to_read(space, mark, self.rotation_runs)
        return self._run(scope, [mark], seen, part, check)

    def measurement(
        self, scope: CheckScope, space: EmbeddingSpace, measure: Callable[[], CheckResult], kept: Sequence[str]
    ) -> CheckResult:
        """Measure again, unless what is measured has hardly changed since a measurement of the last runs.

        `kept` are the figures of a measurement that are shown until the next one.
        """
        with autocommit_connection(self.engine) as connection:
            seen = current_snapshot(connection)
            mark = scope.of_space(connection)
            if self.rotation_runs is not None and mark.seen and mark.position + 1 < self.rotation_runs:
                changes = select_changed_hashes(space, mark).subquery("changes")
                changed = connection.scalar(select(func.count()).select_from(changes)) or 0
                if changed <= REMEASURED_SHARE * mark.figures.get("vectors_measured", 0):
                    later = replace(mark, position=mark.position + 1)
                    scope.save(self.engine, [later])
                    figures = {name: value for name, value in mark.figures.items() if name in kept}
                    return CheckResult(True, figures | {"full": False, "measured_runs_ago": later.position})
            vectors = connection.scalar(select(func.count()).select_from(partition(space.id))) or 0
        result = measure()
        if result.passed:
            figures = {name: value for name, value in result.metadata.items() if name in kept}
            scope.save(self.engine, [Watermark(mark.project_id, seen, 0, figures | {"vectors_measured": vectors})])
        else:
            scope.forget(self.engine, [mark])
        result.metadata |= {"full": True, "measured_runs_ago": 0}
        return result

    def _run(
        self,
        scope: CheckScope,
        marks: Sequence[Watermark],
        seen: str,
        part: Any,
        check: Callable[[Any], CheckResult],
    ) -> CheckResult:
        result = check(part)
        if part is not None and not result.passed:
            part = None
            result = check(None)
        if result.passed:
            runs = None if part is None else self.rotation_runs
            scope.save(self.engine, [_moved(mark, seen, runs) for mark in marks])
        else:
            scope.forget(self.engine, marks)
        if self.rotation_runs is None:
            # What runs count by is counted again, too.
            forget_counts(self.engine)
        result.metadata["full"] = part is None
        return result


@dataclass(frozen=True, slots=True)
class RowChecks:
    """The checks that read the rows of a space, each as far as `reading` says."""

    reading: Reading
    space: EmbeddingSpace

    def documents_have_chunks(self, projects: Sequence[str] | None = None) -> CheckResult:
        check = partial(documents.documents_have_chunks, self.reading.engine, self.space.chunking, projects)
        return self.reading.documents(CheckScope("documents_have_chunks", self.space.chunking), projects, check)

    def offsets_reproduce_text(self, projects: Sequence[str] | None = None) -> CheckResult:
        check = partial(documents.offsets_reproduce_text, self.reading.engine, self.space.chunking, projects)
        return self.reading.documents(CheckScope("offsets_reproduce_text", self.space.chunking), projects, check)

    def chunks_fit_window(self, tokenizer: "Tokenizer") -> CheckResult:
        space, most = self.space, self.space.max_tokens
        check = partial(documents.chunks_fit_window, self.reading.engine, space.chunking, tokenizer, most)
        version = f"1 {space.model} {space.revision} {most}"
        return self.reading.documents(CheckScope("chunks_fit_window", space.chunking, version), None, check)

    def chunks_have_vectors(self, projects: Sequence[str] | None = None) -> CheckResult:
        """The check texts_have_vectors of chunks."""

        def check(part: Sequence[UUID] | None) -> CheckResult:
            # Of a part, only these projects' documents were looked up; joining them again reads all of them.
            expected = of_projects(projects) if part is None else None
            return vectors.texts_have_vectors(
                self.reading.engine, self.space, expected=expected, projects=projects, part=part
            )

        return self.reading.documents(self._scope("texts_have_vectors"), projects, check, vectors_of=self.space)

    def vectors_are_sound(self) -> CheckResult:
        def check(part: FromClause | None) -> CheckResult:
            return vectors.vectors_are_sound(self.reading.engine, self.space, part=part)

        scope = self._scope("vectors_are_sound", f"1 {self.space.dimensions} {self.space.normalize}")
        return self.reading.vectors(scope, self.space, check)

    def no_orphan_vectors(self, at: datetime | None = None) -> CheckResult:
        def check(part: FromClause | None) -> CheckResult:
            return vectors.no_orphan_vectors(self.reading.engine, self.space, at=at, part=part)

        # Only of chunks is it recorded that they were deleted.
        if self.space.kind != "chunks":
            return check(None)
        return self.reading.vectors(self._scope("no_orphan_vectors"), self.space, check)

    def search_latency(self, settings: Settings) -> CheckResult:
        measure = partial(index.search_latency, self.reading.engine, self.space, settings)
        return self._measurement("search_latency", settings.latency_limit_ms, settings, measure)

    def recall_at_10(self, settings: Settings) -> CheckResult:
        measure = partial(index.recall_at_10, self.reading.engine, self.space, settings)
        return self._measurement("recall_at_10", settings.recall_limit, settings, measure)

    def serves_wanted_space(self, fingerprint: str) -> CheckResult:
        """For the live space."""
        check = partial(promotion.serves_wanted_space, self.reading.engine, fingerprint)
        scope = self._scope("serves_wanted_space", f"1 {fingerprint}")
        return self.reading.documents(scope, None, check, vectors_of=self.space)

    def _measurement(
        self, name: str, limit: float, settings: Settings, measure: Callable[[], CheckResult]
    ) -> CheckResult:
        with autocommit_connection(self.reading.engine) as connection:
            identity = index_identity(connection, self.space)
        version = f"1 {limit} {settings.ef_search or self.space.ef_search} {identity}"
        return self.reading.measurement(self._scope(name, version), self.space, measure, index.KEPT_FIGURES)

    def _scope(self, check: str, version: str = "1") -> CheckScope:
        return CheckScope(check, f"space {self.space.id}", version)


def _moved(mark: Watermark, seen: str, runs: int | None) -> Watermark:
    if runs is None or mark.seen is None:
        return replace(mark, seen=seen)
    return replace(mark, seen=seen, position=mark.next_position(runs))


def _vectors_to_read(space: EmbeddingSpace, mark: Watermark, runs: int) -> FromClause:
    stored = partition(space.id)
    first, end = hash_bounds(mark, runs)
    in_part = stored.c.content_hash >= first
    if end is not None:
        in_part &= stored.c.content_hash < end
    changed = select_changed_hashes(space, mark, with_chunks=space.kind == "chunks").subquery("changed")
    return union_all(
        select(stored).where(stored.c.space_id == space.id, in_part),
        select(stored).join(changed, changed.c.content_hash == stored.c.content_hash).where(~in_part),
    ).subquery("vectors_to_read")
