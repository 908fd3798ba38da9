"""The parts of a web page that are no part of its text: navigation, sidebars, footers, cookie banners."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser, LexborNode

# Pages without any of these words are left alone.
_WORTH_A_LOOK: Final = re.compile(
    r"<(?:nav|aside|footer|header|noscript|template|menu)\b|role\s*=|cookie|consent|gdpr|sidebar|navbar|breadcrumb|footer"
    r"|\bskip|headerlink|¶|\btoc\b|\bmenu\b",
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
    r"(?:^|[\s_-])(?:nav|navbar|navigation|menu|sidebar|side-bar|toc|breadcrumbs?|pagination|pager|related-links|sphinxsidebar)"
    r"(?:$|[\s_-])",
    re.IGNORECASE,
)
_FOOTER_NAME: Final = re.compile(r"(?:^|\s)(?:site-?|page-?|global-?)?(?:footer|colophon)(?:$|\s)", re.IGNORECASE)
_BANNER_NAME: Final = re.compile(
    r"cookie[_-]?(?:banner|consent|notice|bar|popup|message|overlay|modal|law|dialog|info|alert|warning)"
    r"|(?:banner|consent|notice|bar|popup|accept|gdpr|eu)[_-]?cookies?|(?:^|[\s_-])(?:gdpr|ccpa)(?:$|[\s_-])"
    r"|consent[_-]?(?:banner|manager|modal|popup|dialog)|onetrust|cybotcookiebot|didomi|usercentrics|truste|qc-cmp2"
    r"|cc-window|cc-banner|fc-consent|osano-cm|klaro|iubenda-cs|cmplz|borlabs",
    re.IGNORECASE,
)
_NAMED: Final = "div[class], div[id], ul[class], ul[id], ol[class], section[class], section[id], table[class], p[class]"
_ANCHOR_TEXT: Final = frozenset({"¶", "#", "§", "\N{LINK SYMBOL}"})
_SKIP_TEXT: Final = re.compile(r"(?:skip|jump)(?: \w+)? to\b", re.IGNORECASE)
_LINKS_SHARE: Final = 0.5  # of the text outside of headings
_LEAST_WORDS: Final = 25
_SELF_CLOSED: Final = re.compile(r"<(script|style|iframe|textarea|noscript|template|a|div|span|i|b|p)\b([^<>]*)/>", re.IGNORECASE)
_SHADOW_ROOT: Final = re.compile(r"<(/?)template\b([^>]*)>", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Page:
    """`html` without the parts that are no text, and whether the page is filled by a script."""

    html: str
    needs_script: bool = False


def strip_page(html: str) -> Page:
    """Remove navigation, sidebars of links, page footers and cookie banners, by structure.

    Text that is in a page's main part, or that may be text of the page, always stays. Where nearly nothing else would
    be left, such as of a page that is a list of links, the page stays as it is.
    """
    if not _WORTH_A_LOOK.search(html):
        return Page(html, needs_script=_has_script(html) and _count_words(_tags_removed(html)) < _LEAST_WORDS)
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(_prepare(html))
    body = tree.body
    if body is None:
        return Page(html)
    has_script = bool(tree.css("script"))
    fallback = [node.text(separator=" ") for node in tree.css("noscript")]
    has_template = bool(tree.css("template"))
    for node in tree.css("script, style, template, noscript"):
        node.decompose()
    before = _count_words(body.text(separator=" "))
    # The page's own words, and what it says to a browser without scripts.
    needs_script = has_script and before < _LEAST_WORDS and before + sum(map(_count_words, fallback)) < 4 * _LEAST_WORDS
    removed = list(_Parts(tree).find())
    for node in removed:
        node.decompose()
    after = _count_words(body.text(separator=" ")) if removed else before
    if not (removed or has_template) or not after or (after < _LEAST_WORDS and after * 4 < before):
        return Page(html, needs_script)
    return Page(tree.html or html, needs_script)


class _Parts:
    def __init__(self, tree: "LexborHTMLParser") -> None:
        self._tree = tree
        self._mains = {node.mem_id for node in tree.css(_MAIN)}
        self._body_length = len(_text(tree.body)) if tree.body else 0
        main_length = max((len(_text(node)) for node in tree.css(_MAIN)), default=0)
        # An empty <main>, or one with a slogan, says nothing of the rest.
        self._has_main = main_length * 4 > self._body_length or main_length > 2000
        self._removed: set[int] = set()

    def find(self) -> "Iterator[LexborNode]":
        """The nodes to remove, outermost first."""
        for node in self._tree.css(_NAVIGATION):
            if self._is_new(node) and self._is_outside_text(node):
                yield self._take(node)
        for node in self._tree.css(f"{_NAMED}, [role=dialog], [role=alertdialog]"):
            if self._is_new(node) and self._is_named_part(node):
                yield self._take(node)
        for node in self._tree.css("a[href^='#']"):
            if self._is_new(node) and _is_anchor(node):
                yield self._take(node)

    def _take(self, node: "LexborNode") -> "LexborNode":
        self._removed.add(node.mem_id)
        return node

    def _is_new(self, node: "LexborNode") -> bool:
        return not any(parent.mem_id in self._removed for parent in _parents(node))

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
            return not self._in_main(node) or _link_share(node) >= _LINKS_SHARE or not _text(node)
        if tag == "aside" or role == "complementary":
            return _link_share(node) >= _LINKS_SHARE or (self._has_main and not self._in_main(node))
        if tag == "footer" or role == "contentinfo":
            is_of_page = not self._in_main(node) and not _is_within(node, {"section", "blockquote", "figure", "aside"})
            return is_of_page or _link_share(node) >= _LINKS_SHARE
        # The header of the page, unless its title stands there.
        return self._has_main and not self._in_main(node) and not _is_within(node, {"section"})

    def _is_named_part(self, node: "LexborNode") -> bool:
        """Whether a name says that an element is navigation, a footer or a cookie banner, and its text agrees."""
        attributes = node.attributes
        name = f"{attributes.get('id') or ''} {attributes.get('class') or ''} {attributes.get('aria-label') or ''}"
        is_dialog = attributes.get("role") in {"dialog", "alertdialog"}
        if _BANNER_NAME.search(name) or (is_dialog and re.search(r"cookie|consent", name, re.IGNORECASE)):
            return not self._in_main(node) and not self._holds_main(node) and self._is_small(node)
        if _LINKS_NAME.search(name):
            return not self._holds_main(node) and _link_share(node) >= _LINKS_SHARE
        if _FOOTER_NAME.search(name):
            return not self._in_main(node) and not self._holds_main(node) and self._is_small(node)
        return False

    def _is_small(self, node: "LexborNode") -> bool:
        return len(_text(node)) * 3 < self._body_length


def _is_anchor(node: "LexborNode") -> bool:
    """The sign beside a heading that links to it, and the link to the main part."""
    text = node.text(deep=True).strip()
    return text in _ANCHOR_TEXT or _SKIP_TEXT.match(text) is not None


def _link_share(node: "LexborNode") -> float:
    """The share of links in an element's text, headings aside."""
    headings = sum(len(_text(heading)) for heading in node.css("h1, h2, h3, h4, h5, h6, [role=heading], summary, label"))
    links = sum(
        len(_text(link)) for link in node.css("a, button, select, input") if not _is_within(link, {"h1", "h2", "h3", "h4"})
    )
    length = len(_text(node)) - headings
    return links / length if length > 0 else 1.0


def _text(node: Any) -> str:
    return "".join(str(node.text(deep=True)).split())


def _count_words(text: str) -> int:
    return len(re.findall(r"\w+", text))


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


def _has_script(html: str) -> bool:
    return "<script" in html.lower()


def _tags_removed(html: str) -> str:
    if len(html) > 200_000:
        return html
    html = re.sub(r"<(script|style|head)\b.*?(?:</\1\s*>|\Z)", " ", html, flags=re.DOTALL | re.IGNORECASE)
    return re.sub(r"<[^>]*>", " ", html)
