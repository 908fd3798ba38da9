"""A short run of the benchmark of searches and writes at once: no errors, nothing lost, all figures."""

import json
import subprocess
import sys

from tests.benchmarks.load.searchers import MODES


def test_nothing_fails_and_nothing_is_lost_while_all_work_at_once() -> None:
    options = ("--minutes", "0.1", "--chunks", "1000", "--warm-up", "0", "--searchers", "2")
    argv = [sys.executable, "-m", "tests.benchmarks.load", *options]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=1800)
    printed = json.loads(done.stdout)
    found = printed["1000"]
    assert (found["errors"], found["lost"], found["duplicates"]) == (0, 0, 0), found
    assert all(found["searches"]["modes"][name]["answers"] > 0 for name in MODES), found["searches"]
    assert found["messages"] > 0 < len(found["ingests_s"][0])
    assert set(found["nights_s"][0]) == {"refresh", "messages", "maintain", "rebuild"}
    assert all(one["peak"] <= one["maximum"] for one in found["pools"].values()), found["pools"]
    assert set(found["memory"]) == {"applications", "server"}
    # Times depend on what else the machine does; the exit code says what the limits say.
    assert printed["passed"] == (not found["misses"]) == (done.returncode == 0)
