"""The HTTP interface: limits, routes, problems."""
