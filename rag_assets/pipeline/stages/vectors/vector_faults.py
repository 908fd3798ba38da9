"""Vectors that cannot be stored."""

from typing import TYPE_CHECKING

from rag_assets.db.spaces.checksums import LENGTH_TOLERANCE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def vector_fault(vector: "NDArray[np.float32]", dimensions: int, *, normalized: bool) -> str | None:
    """The reason why a vector cannot be stored; None when it can."""
    import numpy as np

    if vector.shape != (dimensions,):
        return f"the vector has shape {vector.shape}, not ({dimensions},)"
    if not np.isfinite(vector).all():
        return "the vector has NaN or infinite components"
    if not vector.any():
        return "the vector is zero"
    length = float(np.linalg.norm(vector.astype(np.float64)))
    # Otherwise the check vectors_are_sound would fail from now on, and could not name the text.
    if normalized and abs(length - 1) > LENGTH_TOLERANCE:
        return f"the vector has length {length:.3g}, not 1"
    return None
