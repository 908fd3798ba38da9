"""What downstream assets load: our tables as streams, or as pandas, polars or pyarrow objects, by the annotation."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from rag_assets.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pyarrow as pa
    from sqlalchemy import Engine, Select

    from rag_assets.db.models import EmbeddingSpace
    from rag_assets.db.spaces.shards import ProjectShard
    from rag_assets.db.spaces.text_kinds import Kind
    from rag_assets.db.writes.kept_counts import TextCounts

    CountTexts = Callable[[Engine, EmbeddingSpace, Sequence[ProjectShard]], dict[ProjectShard, TextCounts]]

PAGE_ROWS = 1_000


@dataclass(frozen=True, slots=True)
class TableSlice:
    """The rows of one table that belong to some partitions, as a lazy stream: never all of them in memory."""

    engine: "Engine"
    keys: tuple[str, ...]
    table: ClassVar[str]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Rows as dictionaries, in a stable order."""
        for page in self.pages():
            yield from page

    def pages(self) -> Iterator[list[dict[str, Any]]]:
        with self.engine.connect().execution_options(stream_results=True, max_row_buffer=PAGE_ROWS) as connection:
            for page in connection.execute(self.select()).mappings().partitions(PAGE_ROWS):
                yield [dict(row) for row in page]

    def select(self) -> "Select[Any]":
        from rag_assets.orchestration.io import queries

        return queries.select_rows(self.table, self.keys)

    def select_count(self) -> "Select[Any]":
        from rag_assets.orchestration.io import queries

        return queries.count_rows(self.table, self.keys)

    def count(self) -> int:
        with self.engine.connect() as connection:
            return connection.scalar(self.select_count()) or 0

    def counts(self) -> dict[str, int]:
        """The number of rows of each partition."""
        return {key: replace(self, keys=(key,)).count() for key in self.keys}

    def to_reader(self) -> "pa.RecordBatchReader":
        """The rows as a stream of Arrow batches."""
        from rag_assets.orchestration.io.arrow import record_batches

        return record_batches(list(self.select().selected_columns), self.pages())


class ProjectSlice(TableSlice):
    @property
    def projects(self) -> tuple[str, ...]:
        """The partition keys: projects, and shards of projects."""
        return self.keys

    def select(self) -> "Select[Any]":
        from rag_assets.orchestration.io import queries

        return queries.select_rows(self.table, self._explicit_keys())

    def select_count(self) -> "Select[Any]":
        from rag_assets.orchestration.io import queries

        return queries.count_rows(self.table, self._explicit_keys())

    def counts(self) -> dict[str, int]:
        from rag_assets.documents.shards import split_key
        from rag_assets.orchestration.io import queries

        explicit = dict(zip(self._explicit_keys(), self.keys, strict=True))
        counts = dict.fromkeys(self.keys, 0)
        for key, number in self._known_counts(tuple(explicit)).items():
            counts[explicit.pop(key)] = number
        whole = tuple(key for key in explicit if split_key(key)[1] is None)
        with self.engine.connect() as connection:
            if whole:
                counts |= {row[0]: row[1] for row in connection.execute(queries.count_by_project(self.table, whole))}
            for key in explicit.keys() - set(whole):
                of_shard = connection.execute(queries.count_by_project(self.table, (key,)))
                counts[explicit[key]] = sum(row[1] for row in of_shard)
        return counts

    def _known_counts(self, keys: tuple[str, ...]) -> dict[str, int]:  # noqa: ARG002
        """The counts that are kept and still hold, by key."""
        return {}

    def _explicit_keys(self) -> tuple[str, ...]:
        from rag_assets.db.spaces.shards import explicit_keys

        with self.engine.connect() as connection:
            return tuple(explicit_keys(connection, self.keys))


class DocumentSlice(ProjectSlice):
    table = "documents"


class ChunkSlice(ProjectSlice):
    table = "document_chunks"

    def _known_counts(self, keys: tuple[str, ...]) -> dict[str, int]:
        from rag_assets.db.writes.kept_counts import known_project_texts

        known = _texts_of_keys(self.engine, keys, known_project_texts)
        return {key: texts.chunks for key, texts in known.items()}


class EmbeddingSlice(ProjectSlice):
    table = "embeddings"

    def _known_counts(self, keys: tuple[str, ...]) -> dict[str, int]:
        from rag_assets.db.writes.kept_counts import count_project_texts

        counted = _texts_of_keys(self.engine, keys, count_project_texts)
        # Each text of these has its vector.
        return {key: texts.distinct for key, texts in counted.items() if texts.is_complete}


def _texts_of_keys(engine: "Engine", keys: tuple[str, ...], count: "CountTexts") -> "dict[str, TextCounts]":
    """The texts of projects and shards in the space that searches see."""
    from sqlalchemy.orm import Session

    from rag_assets.db.spaces.shards import slices_of_keys
    from rag_assets.db.spaces.spaces import select_serving_space

    with Session(engine, expire_on_commit=False) as session:
        space = session.scalar(select_serving_space())
        slices = slices_of_keys(session.connection(), keys)
    found = {} if space is None else count(engine, space, list(slices.values()))
    return {key: found[slice_] for key, slice_ in slices.items() if slice_ in found}


@dataclass(frozen=True, slots=True)
class WholeTextSlice(TableSlice):
    """Vectors of texts that are embedded whole, with the texts: of the days in `keys`, or of all days."""

    kind: "Kind"
    table: ClassVar[str] = "embeddings"

    def select(self) -> "Select[Any]":
        from rag_assets.orchestration.io import queries

        return queries.select_whole_texts(self.kind, self.keys)

    def select_count(self) -> "Select[Any]":
        from rag_assets.orchestration.io import queries

        return queries.count_whole_texts(self.kind, self.keys)


class MessageSlice(WholeTextSlice):
    pass


class MemorySlice(WholeTextSlice):
    pass


class RegisteredTableSlice(WholeTextSlice):
    """Vectors of a table that another package registers, with its texts."""


def slice_of_asset(asset: str, engine: "Engine", keys: tuple[str, ...]) -> TableSlice:
    """The rows that the asset has written for these partition keys."""
    match asset:
        case "raw_documents":
            return DocumentSlice(engine, keys)
        case "chunks":
            return ChunkSlice(engine, keys)
        case "embeddings":
            return EmbeddingSlice(engine, keys)
        case "message_embeddings":
            return MessageSlice(engine, keys, "messages")
        case "memory_embeddings":
            return MemorySlice(engine, keys, "memories")
        case _:
            return RegisteredTableSlice(engine, keys, asset.removesuffix("_embeddings"))


def load_slice(slice_: TableSlice, wanted: Any) -> Any:
    """The slice as the annotated type; raises UsageError that lists the supported types."""
    if wanted is Any or (isinstance(wanted, type) and isinstance(slice_, wanted)):
        return slice_
    name = f"{getattr(wanted, '__module__', '').split('.')[0]}.{getattr(wanted, '__name__', wanted)}"
    match name:
        case "pyarrow.RecordBatchReader":
            return slice_.to_reader()
        case "pyarrow.Table":
            return slice_.to_reader().read_all()
        case "polars.DataFrame" | "polars.LazyFrame":
            import polars

            frame = polars.from_arrow(slice_.to_reader().read_all())
            return frame.lazy() if name.endswith("LazyFrame") else frame  # type: ignore[union-attr]
        case "pandas.DataFrame":
            return slice_.to_reader().read_all().to_pandas()
    raise UsageError(
        f"{slice_.table} cannot be loaded as {name}; annotate the input with {type(slice_).__name__}, "
        "pandas.DataFrame, polars.DataFrame, polars.LazyFrame, pyarrow.Table or pyarrow.RecordBatchReader."
    )


# The names of version 0.1, which its README named.
_RENAMED = {"Documents": DocumentSlice, "Chunks": ChunkSlice, "Embeddings": EmbeddingSlice}


def __getattr__(name: str) -> type[TableSlice]:
    if name not in _RENAMED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import warnings

    new = _RENAMED[name]
    warnings.warn(f"{name} is now {new.__name__}; the old name goes in the next release.", DeprecationWarning, 2)
    return new
