"""Which files of a source are documents: the user's globs, and the files that are left out by default."""

import re
import unicodedata
import warnings
from collections.abc import Sequence
from fnmatch import fnmatchcase

from pathspec import GitIgnoreSpec

from rag_assets.errors import UsageError

STATE_FOLDER = ".rag_assets"
ACCESS_FILE = ".access.yaml"

SKIPPED_FOLDERS = frozenset({"__pycache__", "node_modules", "__MACOSX", "$RECYCLE.BIN", "System Volume Information"})

# Formats without text. Names that begin with a dot are left out too, by `_is_hidden`.
_SUFFIXES_WITHOUT_TEXT = """
    avif bmp gif heic ico jpeg jpg png psd svg tif tiff webp
    7z bz2 deb dmg gz iso jar rar rpm tar tgz whl xz zip zst
    a bin class dll dylib exe lib o pyc pyd so wasm
    aac flac m4a mp3 ogg wav avi mkv mov mp4 webm
    eot otf ttf woff woff2
    db h5 npy npz onnx parquet pickle pkl pt safetensors sqlite sqlite3
"""
# Copies that editors and downloads leave behind.
_SUFFIXES_OF_COPIES = "bak swo swp tmp crdownload"
SKIPPED_SUFFIXES = frozenset(f"{_SUFFIXES_WITHOUT_TEXT} {_SUFFIXES_OF_COPIES}".split())
# How the names of lock files and backups begin and end: those of Microsoft Office, Emacs, Vim and others.
_LOCKS_AND_BACKUPS = (("~$", ""), ("", "~"), ("#", "#"))
_FILES_OF_SYSTEMS = frozenset({"desktop.ini", "thumbs.db", "ehthumbs.db"})


# In the text of a regular expression: an escaped character, a bracket expression, the group that marks a folder.
_REGEX_PARTS = re.compile(r"\\.|\[\^?\]?[^\]]*\]|\(\?P<\w+>", re.DOTALL)


def glob_to_regex(glob: str) -> str:
    """The regular expression that finds a glob in a path that `normalize_path` returned, for Python and PostgreSQL.

    It is pathspec's, with which `Selection` matches. Raises UsageError for an invalid glob, and for one with `!`, which
    takes back what an earlier glob matched.
    """
    [pattern] = _compile_globs([_check_glob(glob)]).patterns
    if not pattern.include or pattern.regex is None:
        raise UsageError(
            f"the glob {glob!r} begins with !, which takes back what an earlier glob matched; "
            "write what to find, or \\! for the name of a file that begins with !."
        )
    return _REGEX_PARTS.sub(_to_common_syntax, pattern.regex.pattern)


def _to_common_syntax(part: re.Match[str]) -> str:
    text = part[0]
    if text.startswith("\\"):
        return text
    if text.startswith("("):
        # PostgreSQL has no named groups.
        return "("
    negation, body = re.fullmatch(r"\[(\^?)(.*)\]", text, re.DOTALL).groups()  # type: ignore[union-attr]
    # PostgreSQL knows classes like [:alpha:], and refuses a-c-e. A backslash in the body is escaped already.
    ranges = re.findall(r"(\\\\|.)-(\\\\|.)|(\\\\|.)", body, re.DOTALL)
    members = (f"{_escape_member(one)}" if one else f"{_escape_member(a)}-{_escape_member(z)}" for a, z, one in ranges)
    return f"[{negation}{''.join(members)}]"


def _escape_member(character: str) -> str:
    return character if len(character) > 1 or character.isalnum() else re.escape(character)


class Selection:
    """Include and exclude globs, written like lines of .gitignore.

    `*.md` matches at any depth, `docs/**` everything below the top folder `docs`, `docs/` everything below any folder
    `docs`, `/*.md` at the top only; `!` takes back what an earlier glob matched. Case matters.

    Without an include glob, all files are selected except those left out by default: names that begin with a dot,
    caches, formats without text, lock files (`~$report.docx`), backups (`notes.md~`, `notes.bak`) and files of the
    system (`desktop.ini`). As in a shell, `*` does not match these; an include glob selects them by spelling them
    (`.github/**`, `*.png`, `*.bak`, `node_modules/**/README.md`). Exclude globs take precedence over include globs, and
    the state folder `.rag_assets` and files `.access.yaml` are never selected. Raises UsageError for an invalid glob.
    """

    def __init__(self, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> None:
        self._include = _parse_globs(include) if include else None
        self._exclude = _parse_globs(exclude) if exclude else None
        self._spelled = tuple(part for glob in include for part in glob.split("/"))
        # With a `!` among the globs, a file below an excluded folder can be selected again.
        self._skips_excluded_folders = not any(glob.startswith("!") for glob in exclude)

    def includes_folder(self, path: str, name: str) -> bool:
        """Whether a folder can hold selected files; `name` is the last part of `path`."""
        if name == STATE_FOLDER or ((_is_hidden(name) or name in SKIPPED_FOLDERS) and not self._spells(name)):
            return False
        return not (
            self._exclude and self._skips_excluded_folders and self._exclude.match_file(normalize_path(path) + "/")
        )

    def includes_file(self, path: str, name: str) -> bool:
        """Whether a file of an included folder is selected; `name` is the last part of `path`."""
        suffix = name.rpartition(".")[2].lower()
        if name == STATE_FOLDER or (_is_hidden(name) and not self._spells(name)):
            return False
        if suffix in SKIPPED_SUFFIXES and "." in name and not self._spells_suffix(name, suffix):
            return False
        if name[0] in "~#" or name[-1] == "~":
            if any(_has_ends(name, *ends) and not self._spells_ends(name, *ends) for ends in _LOCKS_AND_BACKUPS):
                return False
        elif name.lower() in _FILES_OF_SYSTEMS and not self._spells_name(name):
            return False
        return self.matches(path)

    def matches(self, path: str) -> bool:
        """Whether the user's globs select a path, whatever the defaults."""
        if path.endswith(ACCESS_FILE) and path.rpartition("/")[2] == ACCESS_FILE:
            return False
        normal = normalize_path(path)
        if self._include and not self._include.match_file(normal):
            return False
        return not (self._exclude and self._exclude.match_file(normal))

    def includes_path(self, path: str) -> bool:
        """Whether a file and all folders above it are included: for listings that have no folders."""
        *folders, name = path.split("/")
        parent = ""
        for folder in folders:
            parent += folder
            if not self.includes_folder(parent, folder):
                return False
            parent += "/"
        return self.includes_file(path, name)

    def _spells(self, name: str) -> bool:
        return any(part[:1] == name[:1] and fnmatchcase(name, part) for part in self._spelled)

    def _spells_suffix(self, name: str, suffix: str) -> bool:
        return any(
            part.lower().endswith("." + suffix) and fnmatchcase(name.lower(), part.lower()) for part in self._spelled
        )

    def _spells_ends(self, name: str, start: str, end: str) -> bool:
        return any(_has_ends(part, start, end) and fnmatchcase(name, part) for part in self._spelled)

    def _spells_name(self, name: str) -> bool:
        return any(part.lower() == name.lower() for part in self._spelled)


def _has_ends(name: str, start: str, end: str) -> bool:
    return len(name) > len(start + end) and name.startswith(start) and name.endswith(end)


def _is_hidden(name: str) -> bool:
    return name.startswith(".")


def exact_glob(path: str) -> str:
    """The glob that matches this path and no other."""
    return "/" + re.sub(r"([\\*?\[\]!# ])", r"\\\1", path)


def normalize_path(path: str) -> str:
    """The path as globs are compared with it; search.filters.document_filters has the same in SQL."""
    # Globs are typed in composed form, and macOS decomposes names. pathspec's `.` does not match a newline.
    if path.isascii():
        return path.replace("\n", " ")
    return unicodedata.normalize("NFC", path).replace("\n", " ")


def _parse_globs(globs: Sequence[str]) -> GitIgnoreSpec:
    if isinstance(globs, str):
        raise UsageError(f"the globs must be a list, not the text {globs!r}")
    return _compile_globs([_check_glob(glob) for glob in globs])


def _compile_globs(lines: Sequence[str]) -> GitIgnoreSpec:
    with warnings.catch_warnings():
        # `re` warns that it may read a set in a set one day. `[[]` is an ordinary glob.
        warnings.simplefilter("ignore", FutureWarning)
        return GitIgnoreSpec.from_lines(lines)


def _check_glob(glob: str) -> str:
    line = normalize_path(glob).removeprefix("./")
    if line.startswith("#"):
        line = "\\" + line  # The name of a file here, not a comment.
    try:
        pattern = _compile_globs([line]).patterns
    except Exception as error:  # pathspec raises exceptions of several types, `re.error` among them.
        raise UsageError(
            f"the glob {glob!r} cannot be understood ({error}); write it like a line of .gitignore"
        ) from None
    if not pattern or pattern[0].include is None:
        raise UsageError(f"the glob {glob!r} matches nothing; write it like a line of .gitignore, for example '*.md'")
    return line
