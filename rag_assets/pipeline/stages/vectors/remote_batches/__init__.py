"""Texts at the batch interface of an embedding server: submitted by one run, fetched by a later one."""
