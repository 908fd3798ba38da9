"""Bytes to text: one parser for each kind of file, the risky ones in a child process."""
