"""The declarative base, the naming convention, and the columns that tables share."""

from datetime import datetime
from typing import Annotated, Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    Double,
    LargeBinary,
    MetaData,
    String,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, validates

from rag_assets.documents.text import clean, content_hash

SCHEMA = "rag"

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

Bigint = Annotated[int, mapped_column(BigInteger)]
Name = Annotated[str, mapped_column(String(200))]
Number = Annotated[float, mapped_column(Double)]
Time = Annotated[datetime, mapped_column(DateTime(timezone=True))]
Json = Annotated[dict[str, Any], mapped_column(JSONB, server_default=text("'{}'::jsonb"))]


class Base(DeclarativeBase):
    metadata = MetaData(schema=SCHEMA, naming_convention=NAMING_CONVENTION)
    type_annotation_map: ClassVar[dict[Any, Any]] = {str: Text}


class Identified:
    """A uuid key: given by the pipeline where it can be derived, else made by the server."""

    id: Mapped[UUID] = mapped_column(
        Uuid,
        primary_key=True,
        server_default=text("gen_random_uuid()"),
        sort_order=-1,
        doc="Key; of a row that the pipeline derives, the same after every rebuild.",
    )


class Timestamped:
    created_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now(), sort_order=90, doc="When the row was made."
    )
    updated_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True),
        server_default=func.now(),
        onupdate=func.now(),
        sort_order=91,
        doc="When the row was changed last.",
    )


class SoftDeleted:
    """Hidden from the moment in `deleted_at`, and still there to be restored; a purge removes it."""

    deleted_at: Mapped[Time | None] = mapped_column(sort_order=92)


def _hash_of_content(context: DefaultExecutionContext) -> bytes:
    # SQLAlchemy leaves this method without annotations.
    values = context.get_current_parameters()  # type: ignore[no-untyped-call]
    return content_hash(values["content"])


class Embeddable:
    """A text that is found by meaning: its vector is stored once, under `content_hash`, in a space of its kind.

    The hash follows the content in ORM objects and in INSERTs; the database refuses one of another text.
    """

    content: Mapped[str]
    content_hash: Mapped[bytes] = mapped_column(LargeBinary, default=_hash_of_content, index=True)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # On the table and not with the column: Alembic's autogenerate forgets the checks of columns.
        table = cls.__dict__.get("__table__")
        if table is not None:
            rule = "content_hash = sha256(convert_to(content, 'UTF8'))"
            table.append_constraint(CheckConstraint(rule, name="content_hash_of_content"))

    @validates("content")
    def _hash_anew(self, _key: str, content: str) -> str:
        cleaned = clean(content)
        self.content_hash = content_hash(cleaned)
        return cleaned
