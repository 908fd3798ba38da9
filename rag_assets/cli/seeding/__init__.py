"""A believable set of data to develop with, the same every time."""

from rag_assets.cli.seeding.load import Seeded, seed
from rag_assets.cli.seeding.plan import SIZES, Size

__all__ = ["SIZES", "Seeded", "Size", "seed"]
