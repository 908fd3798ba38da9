"""Readers of tables: delimited text, and the sheets of workbooks with values as they are shown."""
