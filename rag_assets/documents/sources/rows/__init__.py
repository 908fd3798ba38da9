"""Rows of a table or a query as documents: `sql+postgresql://user@host/db?table=items&id=id&text=body`."""
