"""Tables in documents: which row names the columns, how rows are written as text, and where they are in it."""
