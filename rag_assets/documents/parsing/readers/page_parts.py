"""The parts of a web page that are no part of its text: navigation, sidebars, footers, cookie banners."""

import re
from collections.abc import Iterator
from functools import cached_property, lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser, LexborNode

# A page without any of these is only text.
_WORTH_A_LOOK: Final = re.compile(
    r"<(?:nav|aside|footer|header|noscript|template|dialog|menu|button|option"
    r"|[a-zA-Z][a-zA-Z0-9]*\s(?:[^<>]{0,1000}\s)?(?:class|id|role|hidden|style|href\s*=\s*[\"']?#))",
    re.IGNORECASE,
)
_NAVIGATION: Final = (
    "nav, [role=navigation], [role=search], [role=menu], [role=menubar], aside, [role=complementary], "
    "footer, [role=contentinfo], header, [role=banner]"
)
_NAVIGATION_ROLES: Final = frozenset({"navigation", "search", "menu", "menubar"})
_MAIN: Final = "main, [role=main], article, [role=article]"
# Names of classes and ids of parts that have no element or role of their own.
_LINKS_NAME: Final = re.compile(
    r"(?:^|[\s_-])(?:nav|navbar|navigation|menu|sidebar|side-bar|sidenav|side-nav|subnav|topnav|toc|table-of-contents"
    r"|on-this-page|toccollapsible|breadcrumbs?|pagination|pager|related-links|sphinxsidebar)(?:$|[\s_-])",
    re.IGNORECASE,
)
_ASIDE_NAME: Final = re.compile(r"sidebar|newsletter|subscri|promo|related|share|social|advert|widget", re.IGNORECASE)
_FOOTER_NAME: Final = re.compile(r"(?:^|\s)(?:site-?|page-?|global-?)?(?:footer|colophon)(?:$|\s)", re.IGNORECASE)
_BANNER_NAME: Final = re.compile(
    r"cookie[_-]?(?:banner|consent|notice|bar|popup|message|overlay|modal|law|dialog|info|alert|warning)"
    r"|(?:banner|consent|notice|bar|popup|accept|gdpr|eu)[_-]?cookies?|(?:^|[\s_-])(?:gdpr|ccpa)(?:$|[\s_-])"
    r"|consent[_-]?(?:banner|manager|modal|popup|dialog)|onetrust|cybotcookiebot|didomi|usercentrics|truste|qc-cmp2"
    r"|cc-window|cc-banner|fc-consent|osano-cm|klaro|iubenda-cs|cmplz|borlabs",
    re.IGNORECASE,
)
# One of these is in every such name. Selecting by them is many times faster than looking at every element.
_LAYOUT_NAMES: Final = ("nav", "menu", "side", "toc", "breadcrumb", "pag", "related-links", "footer", "colophon")
_BANNER_NAMES: Final = (
    *("cookie", "consent", "gdpr", "ccpa", "onetrust", "cybot", "didomi", "usercentrics", "truste", "qc-cmp2"),
    *("cc-window", "cc-banner", "osano", "klaro", "iubenda", "cmplz", "borlabs"),
)
# Each begins with letters that are found fast. A value without quotes may come with what follows it.
_VALUE: Final = rb"\s*=\s*[\"']?([^\"'>]*)"
_CLASS: Final = re.compile(b"class" + _VALUE)
_ID: Final = re.compile(b"id" + _VALUE)
_LABEL: Final = re.compile(b"aria-label" + _VALUE)
_DIALOGS: Final = "dialog, [role=dialog], [role=alertdialog]"
# The links to edit a section, and the second form of a formula.
_USELESS: Final = "script, style, noscript, svg:not(:has(text)), link, meta, template, .mw-editsection, .katex-html"
_HIDDEN: Final = "[hidden], [style*='display:none' i], [style*='display: none' i]"
_PANEL_NAME: Final = re.compile(
    r"tab(?!le)|accord|collaps|panel|answer|toggle|expand|fold|read-?more|faq|spoiler|details", re.IGNORECASE
)
_NOSCRIPT: Final = re.compile(r"<(/?)noscript\b[^>]*>", re.IGNORECASE)
_CONSENT: Final = re.compile(
    r"\b(?:accept|agree|allow|got it|ok\b|understand|akzeptier|zustimmen|einverstanden|annehmen|accepter|aceptar|aceit"
    r"|accett|akceptuj|godkänn|tillad)|同意",
    re.IGNORECASE,
)
_BANNER_CHARS: Final = 1500
_BUTTON_CHARS: Final = 60
_SHORT_HEADER_CHARS: Final = 60
_LONG_MAIN_CHARS: Final = 2000
_ANCHOR_TEXT: Final = frozenset({"¶", "#", "§", "\N{LINK SYMBOL}"})
_SKIP_TEXT: Final = re.compile(r"(?:skip|jump)(?: \w+)? to\b", re.IGNORECASE)
_NO_PARTS: Final = frozenset(
    {"html", "body", "main", "article", "li", "a", "b", "i", "em", "strong", "span", "code", "button", "svg"}
)
_LINKS_SHARE: Final = 0.5  # of the text outside of headings
_LEAST_WORDS: Final = 25
_SELF_CLOSED: Final = re.compile(
    r"<(script|style|iframe|textarea|noscript|template|a|div|span|i|b|p)\b([^<>]*)/>", re.IGNORECASE
)
_SHADOW_ROOT: Final = re.compile(r"<(/?)template\b([^>]*)>", re.IGNORECASE)


def strip_page(html: str) -> str:
    """The page without navigation, sidebars of links, page footers and cookie banners, by its structure.

    Text that is in the main part of a page, or that may be text of the page, always stays. Where nearly nothing else
    would be left, such as of a page that is a list of links, the page stays as it is.
    """
    return strip_tree(html, parse_page(html)) or html


def parse_page(html: str) -> "LexborHTMLParser | None":
    """The tree of a page that may have such parts."""
    if not _WORTH_A_LOOK.search(html):
        return None
    from selectolax.lexbor import LexborHTMLParser

    return LexborHTMLParser(_prepare(html))


def is_deeper(tree: "LexborHTMLParser", levels: int) -> bool:
    """Whether an element has more than so many others around it, within the body."""
    return tree.css_first("body" + " > *" * (levels + 1)) is not None


def strip_tree(html: str, tree: "LexborHTMLParser | None") -> str | None:
    """The tree of a page, in HTML, without such parts; None where the page stays as it is."""
    body = tree.body if tree is not None else None
    if tree is None or body is None:
        return None
    fallback = sum(len(node.text(deep=True).split()) for node in tree.css("noscript"))
    _reveal(tree)
    _space_controls(tree)
    # Without these, the rest is converted faster.
    # The last one first: a node within one that was freed must not be touched.
    for node in reversed(tree.css(_USELESS)):
        node.decompose()
    if fallback >= _LEAST_WORDS > _count_words(body.text(separator=" ")):
        return _NOSCRIPT.sub(lambda match: f"<{match[1]}div>", html)
    parts = _Parts(tree, body, html)
    removed = list(parts.find())
    is_short = bool(removed) and not parts.keeps_long_main
    before = _count_words(body.text(separator=" ")) if is_short else 0
    for node in removed:
        node.decompose()
    # After these, which hold most of the links that may be anchors.
    for node in tree.css("a[href^='#']"):
        if _is_anchor(node):
            node.decompose()
    if is_short:
        after = _count_words(body.text(separator=" "))
        if not after or (after < _LEAST_WORDS and after * 4 < before):
            return None
    # xberg resolves entities at some expense, and the tree writes each such blank as one.
    return (tree.html or "").replace("&nbsp;", "\xa0")


def _named_parts(html: str) -> str:
    """A selector of dialogs, and of elements with a class or id that may name a part of the page; may be empty.

    Of the names, only those that the page has: a selector of all takes a fifth of the time of a page.
    """
    lowered = html.encode("utf-8", "replace").lower()
    found = {value for name in (_CLASS, _ID) for value in name.findall(lowered)}
    labels = _LABEL.findall(lowered) if b"aria-label" in lowered else []
    if not any(map(_may_name_a_part, labels)):
        found = set(filter(_may_name_a_part, found))
    names = b"\n".join(found).decode("utf-8", "replace")
    parts = [part for part in (*_LAYOUT_NAMES, *_BANNER_NAMES) if part in names]
    dialogs = [_DIALOGS] if b"dialog" in lowered else []
    return ", ".join([*dialogs, *(f"[{name}*='{part}' i]" for part in parts for name in ("class", "id"))])


@lru_cache(10_000)
def _may_name_a_part(value: bytes) -> bool:
    name = value.decode("utf-8", "replace")
    return any(pattern.search(name) for pattern in (_LINKS_NAME, _BANNER_NAME, _FOOTER_NAME))


def _reveal(tree: "LexborHTMLParser") -> None:
    """Show the panels of tabs, accordions and the like, which xberg would leave out with all that is hidden."""
    hidden = tree.css(_HIDDEN)
    controlled = {node.attributes.get("aria-controls") for node in tree.css("[aria-controls]")} if hidden else set()
    for node in hidden:
        attributes = node.attributes
        is_panel = attributes.get("role") in {"tabpanel", "region"} or attributes.get("hidden") == "until-found"
        if is_panel or attributes.get("id") in controlled - {None} or _PANEL_NAME.search(_name(node)):
            if "hidden" in attributes:
                del node.attrs["hidden"]
            if "style" in attributes:
                del node.attrs["style"]


def _space_controls(tree: "LexborHTMLParser") -> None:
    """Put blanks around buttons and options, whose texts would become one word."""
    for node in tree.css("button, option"):
        node.insert_before(" ")
        node.insert_after(" ")


class _Parts:
    def __init__(self, tree: "LexborHTMLParser", body: "LexborNode", html: str) -> None:
        self._tree = tree
        self._body = body
        self._html = html
        self._main_nodes = tree.css(_MAIN)
        self._mains = {node.mem_id for node in self._main_nodes}
        self._removed: set[int] = set()

    @cached_property
    def _body_length(self) -> int:
        return _without_blanks(self._body.text(separator=" "))

    @cached_property
    def _main_length(self) -> int:
        return max(map(_length, self._main_nodes), default=0)

    @property
    def _has_main(self) -> bool:
        """Not an empty <main>, or one with a slogan, which says nothing of the rest."""
        return self._main_length > _LONG_MAIN_CHARS or self._main_length * 4 > self._body_length

    @property
    def keeps_long_main(self) -> bool:
        """Whether enough of the page stays without counting it."""
        return self._main_length > _LONG_MAIN_CHARS and not self._removed & self._mains

    def find(self) -> "Iterator[LexborNode]":
        """The nodes to remove, each once, and none after one that it stands in."""
        for node in self._tree.css(_NAVIGATION):
            if self._is_new(node) and self._is_outside_text(node):
                yield self._take(node)
        if named := _named_parts(self._html):
            for node in self._tree.css(named):
                if self._is_named_part(node) and self._is_new(node):
                    yield self._take(node)
        for node in self._cookie_banners():
            if self._is_new(node):
                yield self._take(node)

    def _take(self, node: "LexborNode") -> "LexborNode":
        self._removed.add(node.mem_id)
        return node

    def _is_new(self, node: "LexborNode") -> bool:
        return not any(part.mem_id in self._removed for part in (node, *_parents(node)))

    def _in_main(self, node: "LexborNode") -> bool:
        return any(parent.mem_id in self._mains for parent in _parents(node))

    def _holds_main(self, node: "LexborNode") -> bool:
        return node.mem_id in self._mains or node.css_first(f"{_MAIN}, h1") is not None

    def _is_outside_text(self, node: "LexborNode") -> bool:
        """Whether an element is navigation, a sidebar, or the header or footer of the page."""
        tag, role = node.tag or "", (node.attributes.get("role") or "").lower()
        if self._holds_main(node):
            return False
        if role in _NAVIGATION_ROLES or (tag == "nav" and not role):
            if "breadcrumb" in _name(node).lower():
                return True
            return not self._in_main(node) or _link_share(node) >= _LINKS_SHARE or not _length(node)
        if tag == "aside" or role == "complementary":
            is_beside = self._has_main and not self._in_main(node) and bool(_ASIDE_NAME.search(_name(node)))
            return is_beside or _link_share(node) >= _LINKS_SHARE
        if tag == "footer" or role == "contentinfo":
            is_of_page = not self._in_main(node) and not _is_within(node, {"section", "blockquote", "figure", "aside"})
            return is_of_page or _link_share(node) >= _LINKS_SHARE
        # The header of the page, unless its title stands there.
        is_of_page = self._has_main and not self._in_main(node) and not _is_within(node, {"section"})
        return is_of_page and (_length(node) < _SHORT_HEADER_CHARS or _link_share(node) >= _LINKS_SHARE)

    def _is_named_part(self, node: "LexborNode") -> bool:
        """Whether a name says that an element is navigation, a footer or a cookie banner, and its text agrees."""
        if node.tag in _NO_PARTS:
            return False
        name = _name(node)
        is_dialog = node.attributes.get("role") in {"dialog", "alertdialog"} or node.tag == "dialog"
        if is_dialog and self._has_main:
            return not self._in_main(node) and not self._holds_main(node) and self._is_small(node)
        if _BANNER_NAME.search(name) or (is_dialog and re.search(r"cookie|consent", name, re.IGNORECASE)):
            return not self._in_main(node) and not self._holds_main(node) and self._is_small(node)
        if _LINKS_NAME.search(name):
            return not self._holds_main(node) and _link_share(node) >= _LINKS_SHARE
        if _FOOTER_NAME.search(name):
            return not self._in_main(node) and not self._holds_main(node) and self._is_small(node)
        return False

    def _cookie_banners(self) -> "Iterator[LexborNode]":
        """The smallest part around a button of consent that speaks of cookies, whatever it is called."""
        for button in self._tree.css("button, [role=button], input[type=submit], input[type=button]"):
            label = (button.text(deep=True) or button.attributes.get("value") or "").strip()
            if len(label) > _BUTTON_CHARS or not _CONSENT.search(label):
                continue
            for part in islice(_parents(button), 5):
                if part.tag in _NO_PARTS or self._holds_main(part) or _length(part) > _BANNER_CHARS:
                    break
                if "cookie" in part.text(deep=True).lower():
                    if not self._in_main(part) and self._is_small(part):
                        yield part
                    break

    def _is_small(self, node: "LexborNode") -> bool:
        return _length(node) * 3 < self._body_length


def _name(node: "LexborNode") -> str:
    attributes = node.attributes
    return " ".join(attributes.get(key) or "" for key in ("id", "class", "aria-label"))


def _is_anchor(node: "LexborNode") -> bool:
    """The sign beside a heading that links to it, and the link to the main part."""
    text = node.text(deep=True).strip()
    return text in _ANCHOR_TEXT or _SKIP_TEXT.match(text) is not None


def _link_share(node: "LexborNode") -> float:
    """The share of links in an element's text, headings aside."""
    headings = node.css("h1, h2, h3, h4, h5, h6, [role=heading], summary, label")
    links = sum(
        _length(link)
        for link in node.css("a, button, select, input")
        if not headings or not _is_within(link, {"h1", "h2", "h3", "h4"})
    )
    length = _length(node) - sum(map(_length, headings))
    return links / length if length > 0 else 1.0


def _length(node: "LexborNode") -> int:
    """How long an element's text is, blanks aside."""
    return _without_blanks(node.text(deep=True))


def _count_words(text: str) -> int:
    """The number of words, up to as many as matter here: splitting a long text takes longer than parsing it."""
    return len(text.split(None, 4 * _LEAST_WORDS))


def _without_blanks(text: str) -> int:
    return len(text) - text.count(" ")


def _parents(node: "LexborNode") -> "Iterator[LexborNode]":
    parent = node.parent
    while parent is not None:
        yield parent
        parent = parent.parent


def _is_within(node: "LexborNode", tags: set[str]) -> bool:
    return any(parent.tag in tags for parent in _parents(node))


def _prepare(html: str) -> str:
    """XHTML's empty elements would hold the rest of the page in HTML; a shadow root's text is text of the page."""
    if "<?xml" in html[:200] or "XHTML" in html[:500]:
        html = _SELF_CLOSED.sub(r"<\1\2></\1>", html)
    if "shadowroot" in html:
        html = _SHADOW_ROOT.sub(lambda match: f"<{match[1]}div>", html)
    return html
