"""The schema `rag`: migrations, extension, DDL helpers, live view, text search, vacuum settings."""
