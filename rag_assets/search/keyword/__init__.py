"""Keyword search: query syntax, lexemes and BM25."""
