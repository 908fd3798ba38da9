"""Which files of a source are documents: the globs of the user, and what is left out by default."""

import unicodedata
from collections.abc import Sequence
from fnmatch import fnmatchcase

from pathspec import GitIgnoreSpec

from rag_assets.errors import UsageError

STATE_FOLDER = ".rag_assets"

SKIPPED_FOLDERS = frozenset({"__pycache__", "node_modules"})

# Formats that no reader could turn into text. Names that begin with a dot are left out too, by `_is_hidden`.
_SUFFIXES_WITHOUT_TEXT = """
    avif bmp gif heic ico jpeg jpg png psd svg tif tiff webp
    7z bz2 deb dmg gz iso jar rar rpm tar tgz whl xz zip zst
    a bin class dll dylib exe lib o pyc pyd so wasm
    aac flac m4a mp3 ogg wav avi mkv mov mp4 webm
    eot otf ttf woff woff2
    db h5 npy npz onnx parquet pickle pkl pt safetensors sqlite sqlite3
"""
SKIPPED_SUFFIXES = frozenset(_SUFFIXES_WITHOUT_TEXT.split())


class Selection:
    """Globs mean what they mean as lines of .gitignore, for include and exclude alike: `*.md` matches at any
    depth, `docs/**` what is below the docs at the top, `docs/` what is below any, `/*.md` at the top only,
    and `!` takes back what an earlier one matched. Case matters.

    Without an include glob everything is taken that is not left out by default: names that begin with a dot,
    caches, formats without text. As in a shell, `*` does not reach those; an include glob brings them back by
    spelling them (`.github/**`, `*.png`, `node_modules/**/README.md`). Exclude globs win over include globs,
    and the state folder `.rag_assets` is never taken. Raises UsageError for a glob that cannot be understood.
    """

    def __init__(self, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> None:
        self._include = _spec(include) if include else None
        self._exclude = _spec(exclude) if exclude else None
        self._spelled = tuple(part for glob in include for part in glob.split("/"))
        # With a `!` among them, a file below an excluded folder can be wanted after all.
        self._prunes = not any(glob.startswith("!") for glob in exclude)

    def enters(self, path: str, name: str) -> bool:
        """Whether a folder is looked into; `name` is the last part of `path`."""
        if name == STATE_FOLDER or ((_is_hidden(name) or name in SKIPPED_FOLDERS) and not self._spells(name)):
            return False
        return not (self._exclude and self._prunes and self._exclude.match_file(_subject(path) + "/"))

    def takes(self, path: str, name: str) -> bool:
        """Whether a file is a document, in a folder that was entered."""
        suffix = name.rpartition(".")[2].lower()
        if name == STATE_FOLDER or (_is_hidden(name) and not self._spells(name)):
            return False
        if suffix in SKIPPED_SUFFIXES and "." in name and not self._spells_suffix(name, suffix):
            return False
        return self.matches(path)

    def matches(self, path: str) -> bool:
        """The user's globs alone."""
        subject = _subject(path)
        if self._include and not self._include.match_file(subject):
            return False
        return not (self._exclude and self._exclude.match_file(subject))

    def takes_below(self, path: str) -> bool:
        """`enters` for each folder of the path and `takes` for the file: for listings that are flat."""
        *folders, name = path.split("/")
        at = ""
        for folder in folders:
            at += folder
            if not self.enters(at, folder):
                return False
            at += "/"
        return self.takes(path, name)

    def _spells(self, name: str) -> bool:
        return any(part[:1] == name[:1] and fnmatchcase(name, part) for part in self._spelled)

    def _spells_suffix(self, name: str, suffix: str) -> bool:
        return any(
            part.lower().endswith("." + suffix) and fnmatchcase(name.lower(), part.lower()) for part in self._spelled
        )


def _is_hidden(name: str) -> bool:
    return name.startswith(".")


def _subject(path: str) -> str:
    # A glob is typed in composed form, macOS writes names decomposed; and pathspec's `.` does not match a
    # newline.
    if path.isascii():
        return path.replace("\n", " ")
    return unicodedata.normalize("NFC", path).replace("\n", " ")


def _spec(globs: Sequence[str]) -> GitIgnoreSpec:
    if isinstance(globs, str):
        raise UsageError(f"the globs must be a list, not the text {globs!r}")
    return GitIgnoreSpec.from_lines([_checked(glob) for glob in globs])


def _checked(glob: str) -> str:
    line = unicodedata.normalize("NFC", glob).removeprefix("./")
    if line.startswith("#"):
        line = "\\" + line  # It is a file's name here, not a comment.
    try:
        pattern = GitIgnoreSpec.from_lines([line]).patterns
    except Exception as error:  # pathspec raises several kinds, `re.error` among them.
        raise UsageError(
            f"the glob {glob!r} cannot be understood ({error}); write it like a line of .gitignore"
        ) from None
    if not pattern or pattern[0].include is None:
        raise UsageError(f"the glob {glob!r} matches nothing; write it like a line of .gitignore, for example '*.md'")
    return line
