"""Search: a query in, hits out; vector, keyword and hybrid, with filters, ranking and evaluation."""
