"""A shop: a team's own assets, and a search over its products and its help pages."""
