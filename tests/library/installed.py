"""The wheel of this checkout, installed into an empty folder, and projects that have nothing but it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]


def build_wheel(folder: Path) -> Path:
    """Build as `pip install` would from a checkout, without asking any index; gives the wheel."""
    _pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder), str(ROOT))
    [wheel] = folder.glob("*.whl")
    return wheel


def install_wheel(wheel: Path, site: Path) -> Path:
    _pip("install", "--no-deps", "--no-index", "--target", str(site), str(wheel))
    return site


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@dataclass(frozen=True)
class Place:
    """A folder of its own, in which the package is the installed one; processes there know nothing of this checkout."""

    site: Path
    folder: Path
    more: Mapping[str, str] = field(default_factory=dict)

    @property
    def environ(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAG_ASSETS_", "DAGSTER_"))}
        home = self.folder / "dagster_home"
        home.mkdir(exist_ok=True)
        return kept | {
            "PYTHONPATH": f"{self.site}{os.pathsep}{self.folder}",
            "PATH": f"{self.site / 'bin'}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}",
            "DAGSTER_HOME": str(home),
            "NO_COLOR": "1",
            "COLUMNS": "200",
            **self.more,
        }

    def call(self, command: str, *arguments: str, fails: bool = False, **environ: str) -> str:
        """What the command says, on stdout, and where it is to fail on both."""
        found = shutil.which(command, path=self.environ["PATH"])
        assert found is not None, command
        done = subprocess.run(
            [found, *arguments],
            cwd=self.folder,
            env=self.environ | environ,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert (done.returncode != 0) is fails, done.stdout + done.stderr
        return done.stdout + done.stderr if fails else done.stdout
