"""Which row of a table names its columns: found where the rows below speak for it, and never assumed."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

# Rows that are looked at.
SAMPLE_ROWS = 50
_MAX_PREAMBLE_ROWS = 30
_LONG_TEXT_CHARS = 40
_MANY_VALUES = 8
# Columns that are looked at, of those of a row.
_MAX_COLUMNS = 200
# The least sum of signs: one word that names columns, or a column of numbers below a word.
_ENOUGH = 1.0

_NUMBER = re.compile(
    r"[-+\u2212(]?\s*(?:[$€£¥₹]|[A-Z]{3}\s)?\s*[\d][\d.,'\s\u202f\u00a0]*(?:e[-+]?\d+)?\s*(?:[%‰$€£¥₹)]|[A-Z]{3})?"
)
_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}(?:[T ]\d{1,2}:\d{2}.*)?|\d{1,2}:\d{2}(?::\d{2})?")
_YEAR = re.compile(r"(?:FY\s?)?(?:1[5-9]|20|21)\d\d(?:[/-]\d\d(?:\d\d)?)?", re.IGNORECASE)
_SMALL_NUMBER = re.compile(r"\d{1,3}")
_IDENTIFIER = re.compile(r"[a-z][a-z0-9]*(?:[_.][a-z0-9]+)+|[a-z]+(?:[A-Z][a-z0-9]+)+|[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")
_ADDRESS = re.compile(r"\S+@\S+\.\S+|https?://\S+|www\.\S+")
_CODE = re.compile(r"(?=\S*\d)(?=\S*[^\W\d_])\S+")
_CAMEL_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_FIRST_NUMBER = re.compile(r"\d+")
_WORD = re.compile(r"[^\W\d_]+")
# Words that name columns far more often than they are values of one.
_LABEL_WORDS = (
    "id ids no nr num number name names title label key code type kind category class group status state date time "
    "datetime timestamp year month day week quarter start end begin created updated modified amount total sum price "
    "cost value values qty quantity count unit units size weight height length width depth rate ratio percent share "
    "score rank level address street zip postcode postal city town country region county province language email mail "
    "phone fax url uri link website description comment comments note notes remark remarks text content message "
    "subject body author authors owner user username customer client vendor supplier company organization department "
    "job role position sku isbn article product item part serial version first last middle full given surname gender "
    "sex age birthday born currency account iban balance credit debit tax vat discount invoice order payment latitude "
    "longitude lat lon lng elevation population area density temperature pressure speed duration distance min max mean "
    "average avg median std variance sample species genus family question answer source target from to reference ref "
    "tag tags path file filename folder column field row index result results notes parent child priority "
    # German, French, Spanish
    "nummer bezeichnung datum zeit jahr monat tag betrag preis menge anzahl einheit ort stadt land plz straße strasse "
    "adresse vorname nachname beschreibung bemerkung kunde lieferant artikel konto währung summe art kategorie "
    "nom prénom prenom date année annee mois prix montant quantité quantite ville pays rue code libellé libelle client "
    "nombre apellido fecha año mes precio importe cantidad ciudad país pais calle código codigo cliente descripción"
)
_LABELS = frozenset(_LABEL_WORDS.split())


@dataclass(frozen=True, slots=True)
class HeaderRow:
    """`first` is the number of rows above the table; `header` says whether the row there names the columns."""

    first: int
    found: bool


def find_header(rows: Sequence[Sequence[str]]) -> HeaderRow:
    """Where the table begins in a sheet's first rows, and whether its first row is a header.

    Above it there may be a preamble: rows with far fewer filled cells than those of the table.
    """
    filled = [_last_filled(row) for row in rows]
    counts = Counter(count for count in filled if count > 1)
    if not counts:
        return HeaderRow(0, False)
    # The most common width; of equally common ones the widest.
    width = max(counts, key=lambda count: (counts[count], count))
    wide = [
        index
        for index, row in enumerate(rows[:_MAX_PREAMBLE_ROWS])
        if filled[index] > 1 and (_filled(row) * 2 > width or filled[index] >= width)
    ]
    if not wide:
        return HeaderRow(0, False)
    # Above a table there may be pairs of a name and a value: a later row is its header if it alone is as wide.
    complete = next((index for index in wide if filled[index] >= width), wide[0])
    if _names_columns(rows, complete):
        return HeaderRow(complete, True)
    return HeaderRow(wide[0], wide[0] != complete and _names_columns(rows, wide[0]))


def group_names(above: Sequence[str], names: Sequence[str]) -> list[str] | None:
    """`2021 Sales` where the row above a header has the years, each above the first of its columns.

    None unless the header repeats its names, and the groups tell them apart.
    """
    groups = [index for index, cell in enumerate(above) if cell.strip()]
    repeated = len(set(filter(None, names))) < sum(map(bool, names))
    if not repeated or len(groups) < 2 or groups[-1] >= len(names):
        return None
    joined, group = [], ""
    for index, name in enumerate(names):
        group = above[index].strip() if index in groups else group
        joined.append(" ".join(dict.fromkeys(filter(None, (group, name.strip())))))
    return joined if len(set(joined)) == len(joined) else None


def _names_columns(rows: Sequence[Sequence[str]], index: int) -> bool:
    return is_header(rows[index], [row for row in rows[index + 1 : index + 1 + SAMPLE_ROWS] if _filled(row)])


def is_header(row: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Whether this row names the columns of the rows below it.

    Numbers and dates name nothing, but for years, dates and running numbers above other values. Words do if they look
    unlike the values below them, or are words that name columns in general. Without such signs the row is data.
    """
    cells = [cell.strip() for cell in row[:_MAX_COLUMNS]]
    if not below or not any(cells):
        return False
    series = _is_series(cells)
    signs = 0.0
    for index, cell in enumerate(cells):
        if not cell:
            continue
        values = [other[index].strip() for other in below if index < len(other) and other[index].strip()]
        sign = _sign(cell, values, series)
        if sign is None:
            return False
        signs += sign
    return signs >= _ENOUGH


def _sign(cell: str, values: Sequence[str], series: bool) -> float | None:
    """Above 0 where the cell looks like a name of these values, below 0 like one of them; None where it is a value."""
    shape = _shape(cell)
    match shape:
        case "number":
            is_year = _YEAR.fullmatch(cell) is not None and not any(map(_YEAR.fullmatch, values))
            return 1.0 if series or is_year else None
        case "date":
            return 1.0 if values and not any(map(_DATE.fullmatch, values)) else None
        case "address":
            return None
    # Two columns of the same words, such as yes and no, have no name above them.
    sign = -2.0 if cell in values else 0.0
    if cell.endswith(("?", ":")) and not any(value.endswith(cell[-1]) for value in values):
        sign += 1.0
    if (share := _label_share(cell)) >= 0.5 and sum(map(_is_label, values)) * 5 < max(1, len(values)):
        # One such word of two may well be in a value.
        sign += 2.0 if share == 1 else 0.5
    if values:
        common, number = Counter(map(_shape, values)).most_common(1)[0]
        if number * 10 >= len(values) * 8 and common != shape:
            sign += 2.0 if common in {"number", "date", "address", "code"} else 0.75
        if len(values) >= _MANY_VALUES and len(set(values)) * 4 <= len(values) and cell not in values:
            # Values that come again and again, and this is none of them.
            sign += 1.0
        mean = sum(map(len, values)) / len(values)
        if mean >= _LONG_TEXT_CHARS and len(cell) * 2 < mean:
            sign += 1.0
    return sign


@lru_cache(4096)
def _label_share(cell: str) -> float:
    """The share of words that name columns in general; an identifier such as `order_id` is one as a whole."""
    if len(cell) > _LONG_TEXT_CHARS or cell.upper() == cell.lower():
        # Labels have letters, and these are cased.
        return 0.0
    if _IDENTIFIER.fullmatch(cell):
        return 1.0
    words = _WORD.findall(_CAMEL_HUMP.sub(" ", cell).lower())
    return sum(word in _LABELS for word in words) / len(words) if words else 0.0


def _is_label(cell: str) -> bool:
    return _label_share(cell) >= 0.5


def _is_series(cells: Sequence[str]) -> bool:
    """Whether the numbers are years, or small numbers beside words that name columns, at equal steps."""
    numbers = [cell for cell in cells if _shape(cell) == "number"]
    if len(numbers) < 2:
        return False
    others = [cell for cell in cells if cell and _shape(cell) != "number"]
    small = bool(others) and all(map(_is_label, others)) and all(map(_SMALL_NUMBER.fullmatch, numbers))
    if not small and not all(map(_YEAR.fullmatch, numbers)):
        return False
    values = [int(_FIRST_NUMBER.findall(number)[0]) for number in numbers]
    steps = {after - before for before, after in pairwise(values)}
    return len(steps) == 1 and steps != {0}


@lru_cache(4096)
def _shape(cell: str) -> str:
    if cell.isascii() and cell.isdecimal():
        return "number"
    if len(cell) >= _LONG_TEXT_CHARS:
        return "address" if _ADDRESS.fullmatch(cell) else "text"
    if _NUMBER.fullmatch(cell):
        return "number"
    if _DATE.fullmatch(cell):
        return "date"
    if _ADDRESS.fullmatch(cell):
        return "address"
    if _CODE.fullmatch(cell):
        return "code"
    if cell.isupper():
        return "upper"
    if cell.islower():
        return "lower"
    return "words" if " " in cell else "capitalised"


def _filled(row: Sequence[str]) -> int:
    return sum(1 for cell in row if cell and not cell.isspace())


def _last_filled(row: Sequence[str]) -> int:
    """The number of cells up to the last that is not empty."""
    return next((index for index in range(len(row), 0, -1) if row[index - 1].strip()), 0)
