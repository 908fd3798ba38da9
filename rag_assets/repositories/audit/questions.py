"""What people really asked, as evaluation queries: a document that a caller read after a search judges the search."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

# A document that is read within this time after a search, by the same caller and from its hits, is taken as its answer.
READ_WITHIN_S = 600
# Each question once, whatever its case; `read` has the documents that were read, `found` the hits of the newest answer.
_QUESTIONS = text(
    "WITH asked AS (SELECT a.asked_at, a.caller_id, a.query, a.documents FROM rag.audit_entries a "
    "WHERE a.query IS NOT NULL AND a.outcome = 'ok' "
    "AND (CAST(:since AS timestamptz) IS NULL OR a.asked_at >= :since)), "
    "read AS (SELECT lower(s.query) AS question, d.id, count(*) AS times FROM asked s JOIN rag.audit_entries r "
    "ON r.caller_id = s.caller_id AND r.operation IN ('document', 'explain') AND r.outcome = 'ok' "
    "AND r.asked_at BETWEEN s.asked_at AND s.asked_at + make_interval(secs => :within_s) "
    "CROSS JOIN LATERAL unnest(r.documents) AS d (id) WHERE d.id = ANY (s.documents) GROUP BY 1, 2), "
    "newest AS (SELECT DISTINCT ON (lower(query)) lower(query) AS question, query, documents FROM asked "
    "ORDER BY lower(query), asked_at DESC), "
    "times AS (SELECT lower(query) AS question, count(*) AS asked FROM asked GROUP BY 1) "
    "SELECT n.query, t.asked, doc.file_path, doc.id IN (SELECT r.id FROM read r WHERE r.question = n.question) AS read "
    "FROM newest n JOIN times t USING (question) CROSS JOIN LATERAL (SELECT DISTINCT unnest(n.documents || "
    "ARRAY(SELECT r.id FROM read r WHERE r.question = n.question)) AS id) f "
    "JOIN rag.documents doc ON doc.id = f.id JOIN rag.projects p ON p.id = doc.project_id "
    "WHERE CAST(:project AS text) IS NULL OR p.name = :project "
    "ORDER BY t.asked DESC, n.question, doc.file_path"
)


@dataclass(frozen=True, slots=True)
class AuditedQuestion:
    """A question with its judgements: 1 for a document that a caller read, 0 for one that was only found."""

    query: str
    asked: int
    relevant: dict[str, int]

    @property
    def is_judged(self) -> bool:
        return any(self.relevant.values())


def audited_questions(
    connection: Connection, *, project: str | None = None, since: datetime | None = None
) -> list[AuditedQuestion]:
    """The questions whose texts were recorded, the most frequent first, with the documents of the project."""
    values = {"project": project, "since": since, "within_s": READ_WITHIN_S}
    questions: dict[str, AuditedQuestion] = {}
    for query, asked, path, read in connection.execute(_QUESTIONS, values):
        question = questions.setdefault(query, AuditedQuestion(query, asked, {}))
        question.relevant[path] = int(read)
    return list(questions.values())
