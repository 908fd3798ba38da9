"""Files to text: one reader for each format, the risky ones in a child process."""
