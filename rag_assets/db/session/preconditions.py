"""What a database, its role and the session must allow, looked at before the first statement."""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, text

from rag_assets.errors import RefusedError

_FACTS = text(
    """
    SELECT quote_ident(current_database()) AS database, quote_ident(current_user) AS role,
        pg_encoding_to_char(d.encoding) AS encoding,
        pg_is_in_recovery() AS is_standby,
        current_setting('default_transaction_read_only')::bool AS is_read_only,
        current_setting('search_path') AS search_path,
        has_database_privilege(d.oid, 'CREATE') AS may_create_schemas,
        has_database_privilege(d.oid, 'TEMP') AS may_create_temporary_tables,
        quote_ident(extension.nspname) AS extension_schema,
        has_schema_privilege(extension.oid, 'USAGE') AS may_use_extension,
        extension.nspname = ANY (current_schemas(true)) AS finds_extension,
        quote_ident(pg_get_userbyid(ours.nspowner)) AS owner,
        has_schema_privilege(ours.oid, 'USAGE') AS may_use_schema,
        has_schema_privilege(ours.oid, 'CREATE') AS may_create_tables,
        quote_ident(pg_get_userbyid(documents.relowner)) AS table_owner,
        pg_has_role(documents.relowner, 'USAGE') AS owns_tables,
        has_table_privilege(documents.oid, 'SELECT') AS may_read,
        has_table_privilege(documents.oid, 'INSERT') AS may_write,
        EXISTS (
            SELECT FROM pg_class c WHERE c.relnamespace = ours.oid AND c.relname = 'embeddings'
        ) AS has_vectors
    FROM pg_database d
    LEFT JOIN pg_extension e ON e.extname = 'vector'
    LEFT JOIN pg_namespace extension ON extension.oid = e.extnamespace
    LEFT JOIN pg_namespace ours ON ours.nspname = 'rag'
    LEFT JOIN pg_class documents ON documents.relnamespace = ours.oid AND documents.relname = 'documents'
    WHERE d.datname = current_database()
    """
)


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """Names are quoted as identifiers. What is about a schema or a table that is not there is None."""

    database: str
    role: str
    encoding: str
    is_standby: bool
    is_read_only: bool
    search_path: str
    may_create_schemas: bool
    may_create_temporary_tables: bool
    extension_schema: str | None
    may_use_extension: bool | None
    finds_extension: bool | None
    owner: str | None
    may_use_schema: bool | None
    may_create_tables: bool | None
    table_owner: str | None
    owns_tables: bool | None
    may_read: bool | None
    may_write: bool | None
    has_vectors: bool

    def obstacles_to_reading(self) -> Iterator[str]:
        """One sentence for each, with the statement that helps."""
        if self.may_use_schema is False or self.may_read is False:
            owner = self.table_owner or self.owner
            yield (
                f"role {self.role} may not read schema rag of database {self.database}; let {owner} run: "
                f"GRANT USAGE ON SCHEMA rag TO {self.role}; GRANT SELECT ON ALL TABLES IN SCHEMA rag TO {self.role};"
            )
        if self.extension_schema is None and self.has_vectors:
            yield (
                f"the extension vector is missing in database {self.database}, and with it all vectors; restore a "
                "backup, or run rag-assets db downgrade base, rag-assets db upgrade and rag-assets ingest."
            )
        if self.may_use_extension is False:
            yield (
                f"role {self.role} may not use schema {self.extension_schema}, where the extension vector is; "
                f"let an administrator run: GRANT USAGE ON SCHEMA {self.extension_schema} TO {self.role};"
            )
        elif self.finds_extension is False:
            # Other sessions get it from `ConnectionSetup`; a pooler's session belongs to several clients.
            path = f"{self.search_path}, {self.extension_schema}" if self.search_path else self.extension_schema
            yield (
                f"the extension vector is in schema {self.extension_schema}, which is not in the search_path of role "
                f"{self.role}; run: ALTER ROLE {self.role} IN DATABASE {self.database} SET search_path = {path};"
            )

    def obstacles_to_writing(self) -> Iterator[str]:
        if self.is_standby:
            yield (
                f"database {self.database} is a standby, which can only be searched; "
                "set RAG_ASSETS_DATABASE_URL to the address of the primary."
            )
        elif self.is_read_only:
            yield (
                f"transactions of role {self.role} in database {self.database} only read by default, as hosts set it "
                "when a disk is full; to change it: "
                f"ALTER DATABASE {self.database} RESET default_transaction_read_only; "
                f"ALTER ROLE {self.role} RESET default_transaction_read_only;"
            )
        if not self.may_create_temporary_tables:
            yield (
                f"role {self.role} may not create temporary tables in database {self.database}; "
                f"let an administrator run: GRANT TEMPORARY ON DATABASE {self.database} TO {self.role};"
            )
        if self.may_write is False:
            yield (
                f"role {self.role} may not write to the tables of schema rag, which belong to {self.table_owner}; "
                f"use that role, or let an administrator run: GRANT {self.table_owner} TO {self.role};"
            )

    def obstacles_to_upgrading(self) -> Iterator[str]:
        """What speaks against creating or changing the tables."""
        if self.encoding != "UTF8":
            yield (
                f"database {self.database} has the encoding {self.encoding}, which cannot hold all texts; "
                "make another: CREATE DATABASE name ENCODING 'UTF8' LOCALE 'C.UTF-8' TEMPLATE template0;"
            )
        if self.owner is None and not self.may_create_schemas:
            yield (
                f"role {self.role} may not create schemas in database {self.database}; "
                f"let an administrator run: GRANT CREATE ON DATABASE {self.database} TO {self.role};"
            )
        if self.owns_tables is False:
            yield (
                f"the tables of schema rag belong to {self.table_owner}, and role {self.role} may not change them; "
                f"use that role, or let an administrator run: GRANT {self.table_owner} TO {self.role};"
            )
        elif self.may_create_tables is False:
            yield (
                f"role {self.role} may not create tables in schema rag; "
                f"let {self.owner} run: GRANT ALL ON SCHEMA rag TO {self.role};"
            )
        yield from self.obstacles_to_writing()


def read_facts(connection: Connection) -> DatabaseFacts:
    return DatabaseFacts(**connection.execute(_FACTS).one()._mapping)


def refuse(obstacles: Iterator[str]) -> None:
    """Raise RefusedError for the first obstacle, if any."""
    first = next(obstacles, None)
    if first is not None:
        raise RefusedError(first)
