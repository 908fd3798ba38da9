"""constraints.txt pins everything that any extra installs: CI, a release and its SBOM have the same versions."""

import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LINES = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
PINS = {canonicalize_name(one.name): one for one in map(Requirement, LINES)}
EXTRAS = [*PROJECT["optional-dependencies"]]
# Of the package itself, and of every environment.
LEFT_OUT = {"rag-assets", "pip", "setuptools"}


def needed(requirements: list[str]) -> Iterator[str]:
    """The names of what these requirements install, with what those need in turn, as far as it is installed here."""
    seen: set[tuple[str, frozenset[str]]] = set()
    pending = [Requirement(one) for one in requirements]
    while pending:
        one = pending.pop()
        name, extras = canonicalize_name(one.name), frozenset(one.extras)
        if (name, extras) in seen or name in LEFT_OUT:
            continue
        seen.add((name, extras))
        yield name
        try:
            below = [Requirement(line) for line in requires(name) or ()]
        except PackageNotFoundError:
            continue
        asked = [{"extra": extra} for extra in extras] or [{"extra": ""}]
        pending += [two for two in below if two.marker is None or any(map(two.marker.evaluate, asked))]


@pytest.mark.parametrize("extra", [None, *EXTRAS])
def test_every_requirement_has_a_pin(extra: str | None) -> None:
    requirements = PROJECT["dependencies"] if extra is None else PROJECT["optional-dependencies"][extra]
    missing = sorted({name for name in needed(requirements) if name not in PINS})
    found = {name: _version(name) for name in missing}
    assert missing == [], f"add to constraints.txt: {found}"


def test_pins_are_exact_and_allowed() -> None:
    assert [line for line in LINES if not re.fullmatch(r"[\w.-]+(\[[\w,-]+\])?==[\w.!+-]+( *;.+)?", line)] == []
    asked = [*PROJECT["dependencies"], *(one for extra in EXTRAS for one in PROJECT["optional-dependencies"][extra])]
    for one in map(Requirement, asked):
        if canonicalize_name(one.name) in LEFT_OUT:
            continue
        pin = next(iter(PINS[canonicalize_name(one.name)].specifier)).version
        assert one.specifier.contains(pin, prereleases=True), f"{one} does not allow the pinned {pin}"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed here"
