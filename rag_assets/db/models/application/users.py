"""Who may come in: users with their sessions, and the keys of callers of `rag-assets serve`."""

from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, String, Text, func, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from rag_assets.db.models.base import Base, Identified, Name, SoftDeleted, Timestamp, Timestamped


class User(Identified, Timestamped, SoftDeleted, Base):
    """One e-mail address is one user, regardless of case, even while the user is soft-deleted."""

    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint("position('@' in email) > 1", name="email_is_address"),
        CheckConstraint("display_name <> ''", name="display_name_not_empty"),
    )

    # The longest address that a mail server accepts (RFC 5321: a path of 256 octets, with its angle brackets).
    email: Mapped[str] = mapped_column(String(254))
    display_name: Mapped[Name | None]


Index("uq_users_lower_email", func.lower(User.email), unique=True)


class UserSession(Identified, Base):
    """A session by the hash of its token. The token is not stored: reading this table lets nobody act as a user."""

    __tablename__ = "sessions"
    __table_args__ = (CheckConstraint("octet_length(token_hash) = 32", name="token_hash_is_sha256"),)

    user_id: Mapped[UUID] = mapped_column(ForeignKey("rag.users.id", ondelete="CASCADE"), index=True)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    user_agent: Mapped[str | None] = mapped_column(String(500))
    created_at: Mapped[Timestamp] = mapped_column(server_default=func.now())
    last_seen_at: Mapped[Timestamp] = mapped_column(server_default=func.now())
    expires_at: Mapped[Timestamp] = mapped_column(index=True)
    revoked_at: Mapped[Timestamp | None]


class ApiKey(Identified, Base):
    """A key by the hash of its token, which is not stored. Two keys share a name only where one of them is revoked."""

    __tablename__ = "api_keys"
    __table_args__ = (
        CheckConstraint("name <> ''", name="name_not_empty"),
        CheckConstraint("octet_length(token_hash) = 32", name="token_hash_is_sha256"),
        Index("uq_api_keys_name", "name", unique=True, postgresql_where=text("revoked_at IS NULL")),
    )

    name: Mapped[Name]
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    groups: Mapped[list[str]] = mapped_column(ARRAY(Text))
    # As documents declare them. A name, not an id: users of an issuer have no row in `users`.
    user_name: Mapped[str | None]
    tenant: Mapped[str | None]
    # A column of its own: a key whose last project is deleted reads nothing, not everything.
    all_projects: Mapped[bool]
    may_write: Mapped[bool]
    created_at: Mapped[Timestamp] = mapped_column(server_default=func.now())
    expires_at: Mapped[Timestamp | None]
    revoked_at: Mapped[Timestamp | None]


class ViewerKey(Base):
    """The two pads of the HMAC that signs who a transaction reads for; one row, for the owner's functions alone."""

    __tablename__ = "viewer_key"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    inner_pad: Mapped[bytes] = mapped_column(LargeBinary)
    outer_pad: Mapped[bytes] = mapped_column(LargeBinary)


class ApiKeyProject(Base):
    """A project that a key may read, by its id: a renamed project stays readable, a new one of its name is not."""

    __tablename__ = "api_key_projects"

    api_key_id: Mapped[UUID] = mapped_column(ForeignKey("rag.api_keys.id", ondelete="CASCADE"), primary_key=True)
    project_id: Mapped[UUID] = mapped_column(
        ForeignKey("rag.projects.id", ondelete="CASCADE"), primary_key=True, index=True
    )
