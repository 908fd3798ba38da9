"""The schema `rag`: migrations, the extension pgvector, DDL at run time, the live view, languages, vacuum."""
