"""Keyword search: query syntax, lexemes, BM25."""
