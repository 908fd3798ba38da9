"""A folder of documents, kept searchable."""
