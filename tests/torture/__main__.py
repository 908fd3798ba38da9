"""`python -m tests.torture`: strike, run again, compare, and print what happened where."""

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any

from tests.torture.faults import FAULTS, KILL, SERVER_FAULTS, Fault
from tests.torture.pairs import PAIRS
from tests.torture.places import PLACES, Moment, Place
from tests.torture.rounds import Round, Torturer
from tests.torture.server import running_server
from tests.torture.states import build_states
from tests.torture.worker import Forker

ROUNDS = 10
QUICK_PAIRS = 2


def main() -> int:
    # A run that is ended stops its server and its commands, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    options = _parse_options()
    places = [place for place in PLACES if _is_chosen(place.name, options.place)]
    pairs = [pair for pair in PAIRS if _is_chosen(pair.name, options.place) and not options.fault]
    if options.quick:
        pairs = pairs[:QUICK_PAIRS]
    work = Path(tempfile.mkdtemp(prefix="rag-torture-"))
    # Under root the server runs as another user, who must be able to enter.
    work.chmod(0o711)
    began = time.monotonic()
    rounds: list[Round] = []
    forker = Forker()
    try:
        with running_server(work / "server") as server:
            torturer = Torturer(server, forker, build_states(server, forker, work), work)
            _say(options, f"made the databases in {time.monotonic() - began:.0f} s")
            for place, moment, fault in _plan(places, options):
                rounds.append(torturer.strike(place, moment, fault))
                _say(options, _describe(rounds[-1]))
            for pair in pairs:
                rounds.append(torturer.run_beside(pair))
                _say(options, _describe(rounds[-1]))
    finally:
        forker.close()
        if not options.keep:
            shutil.rmtree(work, ignore_errors=True)
    report = {
        "places": _summarise(rounds),
        "rounds": [asdict(one) for one in rounds],
        "seconds": round(time.monotonic() - began, 1),
    }
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        _print_table(report)
    return int(any(one.misses for one in rounds) or not rounds)


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two strikes in each place instead of ten, and two pairs")
    parser.add_argument("--place", action="append", help="only places whose name has this in it; repeatable")
    parser.add_argument("--fault", action="append", help="only faults whose name has this in it; repeatable")
    parser.add_argument("--rounds", type=int, help=f"strikes in each place ({ROUNDS} without --quick)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--keep", action="store_true", help="keep the folders of all rounds")
    return parser.parse_args()


def _is_chosen(name: str, wanted: Sequence[str] | None) -> bool:
    return not wanted or any(part in name for part in wanted)


def _plan(places: Sequence[Place], options: argparse.Namespace) -> Iterator[tuple[Place, Moment, Fault]]:
    """The faults in turn in each place, and the moments of a place in turn.

    In the quick part a place is struck by SIGKILL and by one fault of the server, another one in each place; a server
    that is away for 20 s is waited for once.
    """
    *short, longest = SERVER_FAULTS
    for number, place in enumerate(places):
        faults: Sequence[Fault] = FAULTS
        rounds = options.rounds or ROUNDS
        if options.fault:
            faults = [fault for fault in FAULTS if _is_chosen(fault.name, options.fault)]
        elif options.quick:
            of_server = longest if number == len(short) else short[number % len(short)]
            faults, rounds = (KILL, of_server), options.rounds or 2
        for turn, step in zip(range(rounds), count()):
            moment = place.moments[(step + step // len(faults)) % len(place.moments)]
            yield place, moment, faults[turn % len(faults)]


def _describe(one: Round) -> str:
    outcome = "; ".join(one.misses) or "ok"
    return (
        f"{one.where}, {one.moment} [{one.aimed_at}]: {one.fault}, ended with {one.code}: {outcome} ({one.seconds} s)"
    )


def _summarise(rounds: Sequence[Round]) -> list[dict[str, Any]]:
    summary = []
    for where in dict.fromkeys(one.where for one in rounds):
        own = [one for one in rounds if one.where == where]
        summary.append(
            {
                "where": where,
                "rounds": len(own),
                "struck": sum(one.aimed_at is not None for one in own),
                "ended_well": sum(one.code == 0 for one in own),
                "embedded_twice": sum(one.embedded_twice for one in own),
                "rows_that_differ": sum(sum(one.differing.values()) for one in own),
                "leftovers": sum(len(one.leftovers) for one in own),
                "misses": sum(bool(one.misses) for one in own),
            }
        )
    return summary


def _print_table(report: dict[str, Any]) -> None:
    names = ("struck", "ended_well", "embedded_twice", "rows_that_differ", "leftovers", "misses")
    print(f"{'where':26}" + "".join(f"{name.replace('_', ' '):>18}" for name in names))
    for line in report["places"]:
        print(f"{line['where']:26}" + "".join(f"{line[name]:>18}" for name in names))
    for one in report["rounds"]:
        for miss in one["misses"]:
            print(f"MISS {one['where']}, {one['moment']}, {one['fault']}: {miss}")
    print(f"{report['seconds']:.0f} s")


def _say(options: argparse.Namespace, line: str) -> None:
    print(line, file=sys.stderr if options.json else sys.stdout, flush=True)


if __name__ == "__main__":
    sys.exit(main())
