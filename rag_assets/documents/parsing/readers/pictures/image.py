"""Pictures as documents: their text is recognised, one page for each picture that the file holds."""

import io

from rag_assets.documents.parsing.file_types import image_type
from rag_assets.documents.parsing.parse_report import ConvertedDocument, ParseReport
from rag_assets.documents.parsing.readers.layout.assembly import assemble
from rag_assets.documents.parsing.readers.layout.geometry import Segment
from rag_assets.documents.parsing.readers.layout.reading_order import reading_order
from rag_assets.documents.parsing.readers.pictures.recognition import recognise_picture
from rag_assets.errors import DocumentError

_MAX_SIDE = 4_000
# A scan of A4 at 200 dots per inch: the layout is found in points.
_PIXELS_PER_POINT = 200 / 72


def read_image(data: bytes) -> ConvertedDocument:
    """Raises DocumentError with the reason."""
    import numpy
    from PIL import Image, ImageOps, ImageSequence, UnidentifiedImageError

    pages: list[list[Segment]] = []
    try:
        with Image.open(io.BytesIO(data)) as image:
            for frame in ImageSequence.Iterator(image):
                upright = ImageOps.exif_transpose(frame).convert("RGB")
                upright.thumbnail((_MAX_SIDE, _MAX_SIDE))
                pages.append(recognise_picture(numpy.asarray(upright)[:, :, ::-1], _PIXELS_PER_POINT))
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        # Pillow's message about a file that it does not know names an object in memory.
        reason = "it is damaged" if isinstance(error, UnidentifiedImageError) else " ".join(str(error).split())[:200]
        what = image_type(data) or "a picture"
        raise DocumentError(f"it is {what} that cannot be opened ({reason}); restore it, or exclude it") from error
    content, starts = assemble([reading_order(segments) for segments in pages], ())
    found = tuple(number for number, segments in enumerate(pages, start=1) if segments)
    left = tuple(number for number, segments in enumerate(pages, start=1) if not segments)
    report = ParseReport(page_starts=starts if len(pages) > 1 else (), recognised_pages=found, unread_pages=left)
    return ConvertedDocument(None, content, {"recognised_pages": list(found)} if found else {}, report)
