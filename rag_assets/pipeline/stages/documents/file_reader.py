"""Read one listed file, with its attachments, as far as needed to know whether it changed."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from uuid import UUID

from rag_assets.db.models.documents import derive_document_id
from rag_assets.db.writes.rows import DocumentFailureRow, DocumentRow, ReadersRow, SourceVersionRow
from rag_assets.documents.parsing.parse_report import ParseReport
from rag_assets.documents.parsing.parser import (
    DocumentParser,
    ParsedDocument,
    file_type,
    is_current_reader,
    parse_plain_text,
    reader_version,
)
from rag_assets.documents.personal_data.step import PersonalDataStep
from rag_assets.documents.sources import Source, SourceDocument, SourceFile
from rag_assets.documents.sources.base import WithheldError
from rag_assets.documents.text import clean_title, clean_value, content_hash
from rag_assets.errors import DocumentError
from rag_assets.pipeline.stages.documents.attached import MOST_NESTED_FILES, AttachedDocuments, StoredDocument

# None: the document is unchanged.
ReadResult = DocumentRow | SourceVersionRow | DocumentFailureRow | None


@dataclass(slots=True)
class FileResult:
    """The documents of one file by path: its own and those of its attachments; `gone` are those that it lost."""

    documents: dict[str, tuple[ReadResult, StoredDocument | None]] = field(default_factory=dict)
    gone: list[UUID] = field(default_factory=list)
    readers: list[ReadersRow] = field(default_factory=list)


class FileReader:
    """Called from several threads. `comparable` are the stored documents that need not be read again if unchanged."""

    def __init__(
        self,
        project_id: UUID,
        source: Source,
        parser: DocumentParser,
        stored: Mapping[str, StoredDocument],
        comparable: Mapping[str, StoredDocument],
        attached: AttachedDocuments,
        personal_data: PersonalDataStep,
    ) -> None:
        self._project_id = project_id
        self._source = source
        self._parser = parser
        self._stored = stored
        self._comparable = comparable
        self._attached = attached
        self._personal_data = personal_data

    def __call__(self, file: SourceFile) -> FileResult:
        result = FileResult()
        stored = self._comparable.get(file.path)
        if (
            stored is not None
            and file.version
            and stored.source_version == file.version
            and stored.reader is not None
            and self._is_current(stored.reader, file.path)
            and (not stored.attachments or self._attached.are_current(file.path, self._comparable))
        ):
            result.documents[file.path] = None, stored
            if stored.attachments:
                self._keep_attached(file.path, result)
        else:
            self._read(file, stored, result)
        _add_readers(file, result)
        if held := self._attached.of_file(file.path):
            result.gone = [self._stored[path].id for path in held if path not in result.documents]
        return result

    def _read(self, file: SourceFile, stored: StoredDocument | None, result: FileResult) -> None:
        try:
            read = self._source.read(file.path)
        except WithheldError as error:
            # Not a failure, which would keep the text that was read while this was allowed.
            kind = file_type(file.path)
            parsed = ParsedDocument(None, "", kind, {}, ParseReport(notes=(str(error),)))
            result.documents[file.path] = self._row(file.path, parsed, file.version, sha256().hexdigest(), 0), stored
            return
        except DocumentError as error:
            failure = self._failure(file.path, stored, error)
            failure.size_bytes = file.size_bytes
            result.documents[file.path] = failure, stored
            self._keep_attached(file.path, result)
            return
        document = read if isinstance(read, SourceDocument) else SourceDocument(read)
        self._read_document(file.path, document, file.version, result)

    def _read_document(
        self, path: str, document: SourceDocument, version: str, result: FileResult, depth: int = 0, holder: str = ""
    ) -> None:
        """Read a file or an attachment, and the attachments in it."""
        stored = self._comparable.get(path)
        digest = document.digest
        unchanged = (
            stored is not None
            and stored.hash == digest
            and stored.reader is not None
            and self._is_current(stored.reader, path)
        )
        touch = SourceVersionRow(stored.id, version) if stored and unchanged and not depth else None
        if unchanged and self._attached.are_current(path, self._comparable):
            result.documents[path] = touch, stored
            self._keep_attached(path, result)
            return
        try:
            parsed = self._personal_data.apply(self._parse(path, document))
        except DocumentError as error:
            failure = self._failure(path, stored, error)
            failure.hash, failure.source_version, failure.size_bytes = digest, version, document.size_bytes
            result.documents[path] = failure, stored
            self._keep_attached(path, result)
            return
        row = touch if unchanged else self._row(path, parsed, version, digest, document.size_bytes)
        if isinstance(row, DocumentRow) and holder:
            row.metadata = row.metadata | {"attached_to": holder}
        result.documents[path] = row, stored
        if parsed.attachments and depth < MOST_NESTED_FILES:
            files = {attachment.name: attachment.data for attachment in parsed.attachments}
            for name, below in self._attached.paths(path, list(files)):
                self._read_document(below, SourceDocument(files[name]), version, result, depth + 1, path)

    def _parse(self, path: str, document: SourceDocument) -> ParsedDocument:
        if isinstance(document.content, bytes):
            parsed = self._parser.parse(path, document.content)
        else:
            parsed = parse_plain_text(path, document.content, self._parser)
        if document.note is not None and not parsed.content:
            parsed = replace(parsed, report=replace(parsed.report, notes=(document.note,)))
        if not document.metadata and document.title is None:
            return parsed
        own = clean_value(dict(document.metadata))
        assert isinstance(own, dict)
        return replace(parsed, title=clean_title(document.title) or parsed.title, metadata=parsed.metadata | own)

    def _is_current(self, reader: str, path: str) -> bool:
        return is_current_reader(reader, path) and self._personal_data.is_current(reader)

    def _keep_attached(self, holder: str, result: FileResult) -> None:
        """The attachments of a file that is unchanged, or that cannot be read now, stay as they are."""
        for path in self._attached.wanted(holder):
            if (stored := self._stored.get(path)) is not None:
                result.documents[path] = None, stored

    def _row(self, path: str, parsed: ParsedDocument, version: str, digest: str, size_bytes: int) -> DocumentRow:
        return DocumentRow(
            id=derive_document_id(self._project_id, path),
            project_id=self._project_id,
            file_path=path,
            title=parsed.title,
            content=parsed.content,
            content_hash=content_hash(parsed.content),
            file_type=parsed.file_type,
            size_bytes=size_bytes,
            hash=digest,
            source_version=version,
            reader=parsed.reader_version(path) + self._personal_data.tag,
            metadata=parsed.metadata,
            parse_report=parsed.report.as_json() or None,
        )

    def _failure(self, path: str, stored: StoredDocument | None, error: DocumentError) -> DocumentFailureRow:
        return DocumentFailureRow(
            id=stored.id if stored else derive_document_id(self._project_id, path),
            project_id=self._project_id,
            file_path=path,
            file_type=file_type(path),
            error=str(error),
            reader=reader_version(path),
        )


def _add_readers(file: SourceFile, result: FileResult) -> None:
    """Who may read a file may read its attachments, and nobody else."""
    readers = None if file.readers is None else list(file.readers)
    for row, stored in result.documents.values():
        if isinstance(row, DocumentRow | DocumentFailureRow):
            row.readers, row.readers_error = readers, file.readers_error
        elif stored is not None and (stored.readers != readers or stored.readers_error != file.readers_error):
            result.readers.append(ReadersRow(stored.id, readers, file.readers_error))
