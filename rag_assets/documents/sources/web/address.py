"""The address of a web site: where a crawl begins, and its bounds."""

import posixpath
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote, urlencode, urljoin, urlsplit, urlunsplit

from rag_assets.documents.sources.base import escape_name
from rag_assets.errors import UsageError

SITE_SCHEME = "site+"
_LIMITS = {"depth": 3, "pages": 1_000}
_PARAMETERS = ("depth", "pages", "delay_s", "sitemap")
_SAFE = "/:@!$&'()*+,;=~-._"
_HTML = frozenset({"html", "htm", "xhtml", "shtml", "xht"})


@dataclass(frozen=True, slots=True)
class SiteAddress:
    """`start` is the first page; only pages below its folder are read, at most `depth` links away, `pages` in all.

    `sitemap` is the URL of a sitemap, "" for what robots.txt and /sitemap.xml say, or "no". `delay_s` is the pause
    between two requests; robots.txt may ask for a longer one.
    """

    uri: str
    start: str
    depth: int
    pages: int
    delay_s: float
    sitemap: str

    @property
    def root(self) -> str:
        """The folder of the site that pages must be in."""
        parts = urlsplit(self.start)
        return urlunsplit((parts.scheme, parts.netloc, parts.path.rpartition("/")[0] + "/", "", ""))

    @property
    def host(self) -> str:
        parts = urlsplit(self.start)
        return urlunsplit((parts.scheme, parts.netloc, "", "", ""))


def is_site_address(uri: str) -> bool:
    return uri.lower().startswith((SITE_SCHEME + "http://", SITE_SCHEME + "https://"))


def parse_site_address(uri: str) -> SiteAddress:
    """Raises UsageError for credentials, an unknown parameter and a bound that is no number."""
    parts = urlsplit(uri[len(SITE_SCHEME) :])
    if not parts.hostname or "@" in parts.netloc:
        raise UsageError(
            "the address of a site carries credentials or names no host; write it like site+https://example.com/docs/"
        )
    own, others = {}, []
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name in _PARAMETERS:
            own[name] = value
        else:
            others.append((name, value))
    path = parts.path or "/"
    start = normalize_url(urlunsplit((parts.scheme.lower(), parts.netloc.lower(), path, urlencode(others), "")))
    limits = {name: _number(name, own.get(name), default) for name, default in _LIMITS.items()}
    delay_s = _number("delay_s", own.get("delay_s"), 0.2)
    query = urlencode([*others, *((name, own[name]) for name in _PARAMETERS if name in own)])
    canonical = SITE_SCHEME + start.partition("?")[0] + (f"?{query}" if query else "")
    sitemap = own.get("sitemap", "")
    if sitemap not in ("", "no"):
        sitemap = urljoin(start, sitemap)
    return SiteAddress(canonical, start, int(limits["depth"]), int(limits["pages"]), delay_s, sitemap)


def normalize_url(url: str) -> str:
    """The URL without fragment, `.` and `..`, default port and differences of escaping."""
    parts = urlsplit(url)
    host = parts.netloc.lower().removesuffix(":80" if parts.scheme == "http" else ":443")
    path = posixpath.normpath(parts.path or "/")
    path = "/" + path.lstrip("/") + ("/" if parts.path.endswith("/") and path != "/" else "")
    # One writing of each address: servers take %7E for ~.
    path = quote(unquote(path, errors="surrogateescape"), safe=_SAFE, errors="surrogateescape")
    return urlunsplit((parts.scheme.lower(), host, path, parts.query, ""))


def url_to_path(root: str, url: str, *, is_html: bool) -> str:
    """The path of a page's document below the root of its site."""
    parts = urlsplit(url.removeprefix(root))
    path = unquote(parts.path, errors="surrogateescape")
    if path == "" or path.endswith("/"):
        path += "index.html"
    if parts.query:
        path += "?" + unquote(parts.query, errors="surrogateescape").replace("/", "%2F")
    name = path.rpartition("/")[2]
    if is_html and name.rpartition(".")[2].lower() not in _HTML:
        path += ".html"
    return escape_name(path)


def _number(name: str, text: str | None, default: float) -> float:
    if text is None:
        return default
    try:
        number = float(text)
    except ValueError:
        number = -1
    if not 0 <= number <= 1_000_000 or (name != "delay_s" and number != int(number)):
        raise UsageError(f"the address of a site: {name}={text} is not a number from 0; correct it")
    return number
