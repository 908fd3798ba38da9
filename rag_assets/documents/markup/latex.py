"""The headings of LaTeX."""

import re
import unicodedata
from typing import Final

from rag_assets.documents.markup.heading import TITLE_LIMIT, Heading

_LEVELS: Final = {
    "title": 1,
    "part": 2,
    "chapter": 3,
    "section": 4,
    "subsection": 5,
    "subsubsection": 6,
    "frametitle": 6,
    "paragraph": 7,
    "subparagraph": 8,
}
_MAX_NESTING: Final = 12  # of braces in a title
_VERBATIM: Final = r"verbatim\*?|lstlisting|minted|Verbatim|comment|alltt|filecontents\*?"
_MARK: Final = re.compile(
    r"(?<!\\)%[^\n]*|\\begin\{(?P<code>" + _VERBATIM + r")\}"
    r"|\\(?P<name>" + "|".join(sorted(_LEVELS, key=len, reverse=True)) + r")\*?[ \t]*(?:\[[^\]]{0,300}\][ \t]*)?\{"
    r"|\\begin\{frame\}[ \t]*(?:[<\[][^>\]\n]{0,100}[>\]][ \t]*)*\{"
)
# Commands whose argument is no part of a title.
_DROPPED: Final = re.compile(
    r"\\(?:label|footnote|footnotemark|thanks|index|cite[a-z]*|ref|eqref|pageref|vspace|hspace|protect|nobreak|centering"
    r"|thispagestyle|fontsize|color|phantomsection)\*?(?:\[[^\]]*\])?(?:\{(?:[^{}]|\{[^{}]*\})*\})?"
)
_ARGUMENT: Final = r"\{((?:[^{}]|\{[^{}]*\})*)\}"
_TWO_FORMS: Final = re.compile(r"\\(?:texorpdfstring|href|textcolor)" + _ARGUMENT + _ARGUMENT)
_COMMAND: Final = re.compile(r"\\(?:[a-zA-Z]+\*?(?:\[[^\]]*\])?[ \t]*|\\(?:\[[^\]]*\])?)")
_ESCAPED: Final = re.compile(r"\\([&%$#_{}])")
# Accents that are letters need braces: `\\d x` is a command of mathematics as well.
_ACCENT: Final = re.compile(
    r"""\\(?<!\\\\)(?:(["'`^~=.])(?:\{(\\?[a-zA-Z])\}|(\\[ij](?![a-zA-Z])|[a-zA-Z]))|([uvHcdbkr])\{(\\?[a-zA-Z])\})"""
)
_ACCENTS: Final = {
    '"': "\u0308", "'": "\u0301", "`": "\u0300", "^": "\u0302", "~": "\u0303", "=": "\u0304", ".": "\u0307",
    "u": "\u0306", "v": "\u030c", "H": "\u030b", "c": "\u0327", "d": "\u0323", "b": "\u0331",
    "k": "\u0328", "r": "\u030a",
}  # fmt: skip
_LETTER: Final = re.compile(r"\\(ss|ae|AE|oe|OE|o|O|aa|AA|l|L|i|j|dh|DH|th|TH|dj|DJ|ng|NG)(?:\{\}|(?![a-zA-Z])[ ]?)")
_LETTERS: Final = {
    "ss": "ß", "ae": "æ", "AE": "Æ", "oe": "œ", "OE": "Œ", "o": "ø", "O": "Ø", "aa": "å", "AA": "Å", "l": "ł", "L": "Ł",
    "i": "i", "j": "j", "dh": "ð", "DH": "Ð", "th": "þ", "TH": "Þ", "dj": "đ", "DJ": "Đ", "ng": "ŋ", "NG": "Ŋ",
}  # fmt: skip

_MARKED: Final = re.compile(f"{_ACCENT.pattern}|{_LETTER.pattern}")
_CODE: Final = re.compile(r"(\\begin\{(?:" + _VERBATIM + r")\}.*?(?:\\end\{(?:" + _VERBATIM + r")\}|\Z))", re.DOTALL)


def latex_headings(content: str) -> tuple[list[Heading], list[tuple[int, int]]]:
    """\\title, \\part to \\subparagraph and the titles of slides, and where blocks of code stand."""
    headings: list[Heading] = []
    blocks: list[tuple[int, int]] = []
    at = 0
    while match := _MARK.search(content, at):
        at = match.end()
        if match["code"]:
            end = content.find(f"\\end{{{match['code']}}}", at)
            if end >= 0:
                at = end
                blocks.append((match.start(), end))
        elif match[0].endswith("{"):
            end = _closing_brace(content, at)
            source = content[at : end - 1]
            # "#1" stands in the definition of a command.
            title = "" if "#1" in source else strip_latex(source)
            if title and len(title) <= TITLE_LIMIT:
                line_end = re.compile(r"[ \t]*(?:\\label\{[^}\n]*\})?[ \t]*(?:%[^\n]*)?\n?").match(content, end)
                after = line_end.end() if line_end else end
                headings.append(Heading(match.start(), after, _LEVELS[match["name"] or "frametitle"], title))
                at = end
    return headings, blocks


def _closing_brace(content: str, at: int) -> int:
    """The place after the brace that closes a title; titles are short, so that the search is bounded."""
    depth = 1
    for match in re.compile(r"\\.|[{}]", re.DOTALL).finditer(content, at, at + 10 * TITLE_LIMIT):
        depth += (match[0] == "{") - (match[0] == "}")
        if depth == 0:
            return match.end()
        if depth > _MAX_NESTING:
            break
    return at


def strip_latex(source: str) -> str:
    """The words of a title: accents as letters, the arguments of commands that format, nothing of notes and labels."""
    text = _DROPPED.sub("", re.sub(r"(?<!\\)%[^\n]*\n?", "", source))
    text = _TWO_FORMS.sub(lambda match: match[2] if match[0].startswith(("\\href", "\\textcolor")) else match[1], text)
    text = resolve_accents(text)
    text = _COMMAND.sub(" ", _ESCAPED.sub(lambda match: f"\\{match[1]}" if match[1] in "{}" else match[1], text))
    text = (
        text.replace("---", "\N{EM DASH}")
        .replace("--", "\N{EN DASH}")
        .replace("``", "“")
        .replace("''", "”")
        .replace("~", " ")
    )
    return " ".join(re.sub(r"\\?[{}]|\\[,;:! /@-]?", "", text).split())


def resolve_accents(text: str) -> str:
    """`Z\\"urich` and `Stra{\\ss}e` as Zürich and Straße, so that searches find them."""
    pieces: list[str] = []
    reached = 0
    for match in _MARKED.finditer(text):
        start, end = match.span()
        if start > reached and text[start - 1] == "{" and text[end : end + 1] == "}":
            start, end = start - 1, end + 1
        pieces += [text[reached:start], _LETTERS[match[6]] if match[6] else _accented(match)]
        reached = end
    return "".join([*pieces, text[reached:]]) if pieces else text


def decode_latex(content: str) -> str:
    """The text with its accents resolved, but for verbatim code."""
    if _MARKED.search(content) is None:
        return content
    parts = _CODE.split(content)
    return "".join(part if index % 2 else resolve_accents(part) for index, part in enumerate(parts))


def _accented(match: re.Match[str]) -> str:
    mark, *letters = [part for part in match.groups() if part]
    return unicodedata.normalize("NFC", letters[0].removeprefix("\\") + _ACCENTS[mark])
