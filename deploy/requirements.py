"""Print what an image installs: the dependencies and extras of pyproject.toml, without those that it leaves out.

python deploy/requirements.py --extra serve --extra celery --without sentence-transformers
"""

import argparse
import re
import tomllib
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extra", action="append", default=[])
    parser.add_argument("--without", action="append", default=[])
    options = parser.parse_args()
    print("\n".join(requirements(options.extra, options.without)))  # noqa: T201


def requirements(extras: list[str], without: list[str]) -> list[str]:
    project = tomllib.loads(PROJECT.read_text("utf-8"))["project"]
    found: list[str] = list(project["dependencies"])
    pending, seen = list(extras), set[str]()
    while pending:
        extra = pending.pop()
        if extra in seen:
            continue
        seen.add(extra)
        for one in project["optional-dependencies"][extra]:
            own = re.fullmatch(r"rag_assets\[(.+)\]", one)
            if own:
                pending += own[1].split(",")
            else:
                found.append(one)
    return sorted({one for one in found if _name(one) not in without})


def _name(requirement: str) -> str:
    return re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0].lower().replace("_", "-")


if __name__ == "__main__":
    main()
