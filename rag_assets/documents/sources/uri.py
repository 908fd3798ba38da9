"""The canonical form of a source's address: absolute and without credentials, so that it can be stored."""

# ruff: noqa: PTH100, PTH111, PTH206
# Path has no os.path.abspath, and normalizes names that must stay as they are.

import os
import re
from difflib import get_close_matches
from importlib.metadata import metadata
from urllib.parse import parse_qsl, unquote

from rag_assets.documents.sources.base import escape_name, unescape_name
from rag_assets.documents.sources.python_topics import TOPICS_URI
from rag_assets.documents.sources.rows.address import canonical_row_address, is_row_address
from rag_assets.documents.sources.rows.asset_rows import is_asset_address
from rag_assets.documents.sources.source_types import find_source_type, source_type_schemes
from rag_assets.documents.sources.web.address import is_site_address, parse_site_address
from rag_assets.errors import UsageError

_LINK = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*)://(.*)", re.DOTALL)

# In these, a path follows `://`, not a host (git and github have a notation of their own, with `:` and `@`).
_WITHOUT_HOST = frozenset({"zip", "tar", "libarchive", "memory", "dir", "git", "github"})

_SECRET_PARAMETERS = re.compile(
    "access_token|api_?key|auth|awsaccesskeyid|key|password|secret|sig|signature|subscription-key|token"
    "|x-(amz|goog)-(credential|security-token|signature)",
    re.IGNORECASE,
)


def canonical_uri(uri: "str | os.PathLike[str]") -> str:
    """The address in the form in which it is stored.

    It is an absolute path for local files, else a URL (or a chain of URLs) whose local parts are absolute. Links in a
    local path are kept: `/srv/docs/current` can be pointed to the next release. Raises UsageError for credentials in
    the address, which belong in the environment.
    """
    text = os.fspath(uri)
    if not text.strip() or "\0" in text:
        raise UsageError(f"{text!r} is not the address of a source; name a folder, a file or a URL")
    if text == TOPICS_URI or is_asset_address(text):
        return text
    if is_site_address(text):
        return parse_site_address(text).uri
    if is_row_address(text) and find_source_type(url_protocols(text)[0]) is None:
        return canonical_row_address(text)
    if not isinstance(uri, str) or ("://" not in text and "::" not in text) or os.path.lexists(text):
        # Names in a canonical address are escaped already.
        return escape_name(_absolute(text if os.path.lexists(text) else unescape_name(text)))
    if find_source_type(url_protocols(text)[0]) is not None:
        # Not a chain: a registered source type gets the whole address.
        return escape_name(_canonical_link(unescape_name(text)))
    links = [_canonical_link(link) for link in unescape_name(text).split("::")]
    if links[-1].startswith(("zip://", "tar://")):
        raise UsageError(f"{text!r} does not name an archive; write for example 'zip://::folder/archive.zip'")
    return escape_name("::".join(links))


def is_local(canonical: str) -> bool:
    return canonical.startswith(os.sep) or _LINK.match(canonical) is None


def url_protocols(canonical: str) -> list[str]:
    """The protocol of each URL of a chain, outermost first."""
    matches = (_LINK.match(link) for link in canonical.split("::"))
    return [match[1].lower() if match else "file" for match in matches]


def check_protocol(protocol: str) -> None:
    """Raise UsageError for a protocol that fsspec does not know, or whose package is not installed."""
    import fsspec
    from fsspec.registry import known_implementations

    try:
        fsspec.get_filesystem_class(protocol)
    except ValueError:
        if find_source_type(protocol) is not None:
            raise UsageError(
                f"{protocol}:// is a registered source type, which cannot be part of a chain of URLs; name its own URL"
            ) from None
        known = [*fsspec.available_protocols(), *source_type_schemes()]
        near = get_close_matches(protocol, known, cutoff=0.5)
        hint = (
            f"did you mean {' or '.join(f'{name}://' for name in near)}?" if near else "see fsspec's list of protocols"
        )
        raise UsageError(f"the protocol {protocol}:// is not known; {hint}") from None
    except ImportError as error:
        package = _package_name(protocol)
        reason = known_implementations.get(protocol, {}).get("err", str(error))
        hint = f"pip install '{package}'" if package else f"install what it needs ({error.__cause__ or error})"
        raise UsageError(f"{protocol}:// needs a package that is not installed ({reason}); {hint}") from error


def _package_name(protocol: str) -> str | None:
    from fsspec.registry import known_implementations

    implementation = known_implementations.get(protocol, {}).get("class", "")
    module = implementation.partition(".")[0]
    if module != "fsspec":
        return module.replace("_", "-") or None
    for extra in metadata("fsspec").get_all("Provides-Extra") or ():
        if known_implementations.get(extra, {}).get("class") == implementation:
            return f"fsspec[{extra}]"
    return None


def _canonical_link(link: str) -> str:
    match = _LINK.fullmatch(link)
    if match is None:
        import fsspec

        return f"{link}://" if link in fsspec.available_protocols() else _absolute(link)
    protocol, rest = match[1].lower(), match[2]
    if protocol in ("file", "local"):
        return _absolute(rest if os.path.lexists(rest) else unquote(rest, errors="surrogateescape"))
    if protocol not in _WITHOUT_HOST:
        _refuse_credentials(protocol, rest)
    if protocol not in ("http", "https") and rest.strip("/"):
        rest = rest.rstrip("/")
    return f"{protocol}://{rest}"


def _refuse_credentials(protocol: str, rest: str) -> None:
    # A slash in a secret ends the host early, so a port that is not a number counts as a password too. The message
    # shows nothing of the address.
    host = re.split("[/?#]", rest, maxsplit=1)[0]
    user, at, _ = host.rpartition("@")
    port = host.rpartition(":")[2] if ":" in host and not host.endswith("]") else "0"
    is_arn = protocol in ("s3", "s3a") and host.startswith("arn:")
    secret = (":" in user or (at and protocol in ("http", "https", "s3", "s3a"))) or not (port.isdigit() or is_arn)
    query = parse_qsl(rest.partition("?")[2].partition("#")[0], keep_blank_values=True)
    secret = secret or any(_SECRET_PARAMETERS.fullmatch(name) for name, _ in query)
    if secret:
        raise UsageError(
            f"the {protocol}:// address carries credentials, which would be stored with the project; leave "
            f"them out and give them through the environment ({_credential_variables(protocol)})"
        )


def _credential_variables(protocol: str) -> str:
    if find_source_type(protocol) is not None:
        return "the variables that its source type reads"
    return f"the package's own variables, or FSSPEC_{protocol.upper()}_<OPTION>"


def _absolute(path: str) -> str:
    # `link/..` is the folder above the link's target: only the file system can resolve it.
    expanded = os.path.expanduser(path)
    if ".." in expanded.split(os.sep):
        return os.path.realpath(expanded)
    return os.path.abspath(expanded)
