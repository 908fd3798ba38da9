"""A believable set of data to develop with, the same every time."""

from rag_assets.seeding.plan import SIZES, Size
from rag_assets.seeding.seed import Seeded, seed

__all__ = ["SIZES", "Seeded", "Size", "seed"]
