"""The wheel of this checkout installed into an empty folder, and projects that use only this installation."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.paths import ROOT

# Only catches hangs: a slow machine must not reach it.
TIMEOUT_S = 900


def build_wheel(folder: Path) -> Path:
    """Build the wheel like `pip install` from a checkout, without a package index; return its path."""
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
class ProjectFolder:
    """A project folder whose processes import the package from the wheel, not from this checkout."""

    site: Path
    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict)

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
            **self.variables,
        }

    @contextmanager
    def run_in_background(self, *arguments: str) -> Iterator[Path]:
        """Run a Python process in the background and end it afterwards; yields the path of its log."""
        log = self.folder / "output.log"
        with log.open("w") as out:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=self.folder,
                env=self.environ,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            yield log
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(60)

    def check_output(self, command: str, *arguments: str, **environ: str) -> str:
        """Run the command, check that it succeeds, and return its stdout."""
        done = self.run(command, *arguments, **environ)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def run(self, command: str, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        found = shutil.which(command, path=self.environ["PATH"])
        assert found is not None, command
        return subprocess.run(
            [found, *arguments],
            cwd=self.folder,
            env=self.environ | environ,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
