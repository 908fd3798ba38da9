"""Text in pictures: scanned pages and pictures as documents, with the extra `ocr`."""
