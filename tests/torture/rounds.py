"""One round: run a command up to a moment, strike, run it again, and look at what is there."""

import shutil
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from tests.torture.aftermath import Content, count_differences, find_leftovers, read_content
from tests.torture.places import END_PAUSES, Moment, Place
from tests.torture.server import Server
from tests.torture.states import Installation
from tests.torture.worker import Command, Ended, Forker, Running, embedded_batches

AIM_S = 60.0
AIM_INTERVAL_S = 0.002
# A killed command loses the batch that is written, the one that waits and the one in the model.
BATCHES_AT_RISK = 3
# With the exit codes that a command may end with when the server was away for longer than RAG_ASSETS_RETRY_S.
DOCUMENTED_FAILURES = (1, 3)

Strike = Callable[[Server, Running, int], None]


@dataclass(frozen=True)
class Fault:
    """`survived`: a command that is struck goes on by itself and ends well."""

    name: str
    strike: Strike
    survived: bool = True


def _kill(_server: Server, victim: Running, _backend: int) -> None:
    victim.kill()


def _terminate(server: Server, _victim: Running, backend: int) -> None:
    server.execute("postgres", sql.SQL("SELECT pg_terminate_backend({})").format(backend))


def _restart(stop: Callable[[Server], None], away_s: float) -> Strike:
    def strike(server: Server, _victim: Running, _backend: int) -> None:
        stop(server)
        time.sleep(away_s)
        server.start()

    return strike


FAULTS = (
    Fault("SIGKILL", _kill, survived=False),
    Fault("backend terminated", _terminate),
    Fault("immediate stop", _restart(Server.stop_immediately, 0)),
    Fault("down 1 s", _restart(Server.stop_fast, 1)),
    Fault("down 20 s", _restart(Server.stop_immediately, 20), survived=False),
)


@dataclass
class Round:
    place: str
    moment: str
    fault: str
    aimed_at: str | None = None
    code: int | None = None
    again: int | None = None
    embedded_twice: int = 0
    differing: dict[str, int] = field(default_factory=dict)
    leftovers: list[str] = field(default_factory=list)
    misses: list[str] = field(default_factory=list)
    seconds: float = 0.0
    err: str = ""


class Torturer:
    def __init__(self, server: Server, forker: Forker, installation: Installation, work: Path) -> None:
        self._server, self._forker, self._installation, self._work = server, forker, installation, work
        self._undisturbed: dict[str, Content] = {}
        self._number = 0

    def undisturbed(self, place: Place) -> Content:
        """The rows after an undisturbed run of the place's command."""
        if place.name not in self._undisturbed:
            folder, database = self._prepare(place)
            ended = self._start(place, folder, database).wait()
            assert ended.code == 0, f"{place.name}, undisturbed: {ended}"
            batches = Counter(text for batch in embedded_batches(folder) for text in batch)
            assert all(count == 1 for count in batches.values()), f"{place.name}, undisturbed: embedded twice"
            self._undisturbed[place.name] = read_content(self._server, database)
            self._discard(folder, database)
        return self._undisturbed[place.name]

    def play(self, place: Place, moment: Moment, fault: Fault) -> Round:
        expected = self.undisturbed(place)
        began = time.monotonic()
        folder, database = self._prepare(place)
        if moment.pauses:
            self._server.execute(database, *moment.pauses)
        round_ = Round(place.name, moment.name, fault.name)
        victim = self._start(place, folder, database, moment)
        children = self._strike(round_, victim, database, moment, fault)
        ended = victim.wait()
        round_.code = ended.code
        round_.misses += _judge_end(ended, fault)
        second = self._start(place, folder, database)
        again = second.wait()
        round_.again = again.code
        if again.code != 0 and (again.code, ended.code) != (place.when_done, 0):
            round_.misses.append(f"the next run ended with {again.code}: {_last_line(again.err)}")
        batches = embedded_batches(folder)
        counts = Counter(text for batch in batches for text in batch)
        round_.embedded_twice = sum(count - 1 for count in counts.values())
        if round_.embedded_twice > BATCHES_AT_RISK * max(map(len, batches), default=0):
            round_.misses.append(f"{round_.embedded_twice} texts were embedded twice")
        round_.differing = count_differences(read_content(self._server, database), expected)
        home = folder / "state" / "dagster_home"
        round_.leftovers = find_leftovers(self._server, database, folder, home, [*children, *second.children()])
        round_.misses += [f"{rows} rows of {table} differ" for table, rows in round_.differing.items()]
        round_.misses += round_.leftovers
        round_.err = ended.err if round_.misses else ""
        round_.seconds = round(time.monotonic() - began, 2)
        if not round_.misses:
            self._discard(folder, database)
        return round_

    def _strike(self, round_: Round, victim: Running, database: str, moment: Moment, fault: Fault) -> list[int]:
        found = self._aim(victim, database, moment)
        if found is None:
            round_.misses.append("the moment was never seen")
            return []
        backend, round_.aimed_at = found
        children = victim.children()
        fault.strike(self._server, victim, backend)
        self._end_pauses(database)
        return children

    def _end_pauses(self, database: str) -> None:
        """Remove what held the server; a transaction of the command may hold its tables for a moment."""
        while True:
            try:
                self._server.execute(database, *END_PAUSES)
            except psycopg.errors.DeadlockDetected:
                continue
            return

    def _aim(self, victim: Running, database: str, moment: Moment) -> tuple[int, str] | None:
        """Wait until the server says that the command is there; returns its session and what the server said."""
        deadline = time.monotonic() + AIM_S
        with self._server.connect(database) as connection:
            while time.monotonic() < deadline and not victim.has_ended():
                try:
                    row = connection.execute(moment.aim, {"pattern": moment.pattern}).fetchone()
                except psycopg.errors.UndefinedTable:
                    row = None
                if row is not None:
                    return row[0], row[1]
                time.sleep(AIM_INTERVAL_S)
        return None

    def _prepare(self, place: Place) -> tuple[Path, str]:
        self._number += 1
        folder, database = self._work / f"round{self._number}", f"round{self._number}"
        folder.mkdir()
        shutil.copytree(self._installation.homes[place.state], folder / "state" / "dagster_home")
        self._server.copy(place.state, database)
        self._server.execute(database, *place.prepare)
        return folder, database

    def _start(self, place: Place, folder: Path, database: str, moment: Moment | None = None) -> Running:
        slow: dict[str, Any] = {}
        if moment is not None:
            slow = {"encode_s": moment.encode_s, "copy_row_s": moment.copy_row_s, "read_s": moment.read_s}
        env = self._installation.environment(folder, self._server.url(database))
        return self._forker.start(Command(place.command, env, str(folder), **slow))

    def _discard(self, folder: Path, database: str) -> None:
        self._server.drop(database)
        shutil.rmtree(folder)


def _judge_end(ended: Ended, fault: Fault) -> list[str]:
    """What is wrong with the way in which the struck command ended."""
    if ended.code is None:
        return ["the struck command never ended"]
    if "Traceback" in ended.err or "Traceback" in ended.out:
        return [f"a traceback was printed, ending in {_last_line(ended.err)}"]
    if ended.code == 0 or (fault.name == "SIGKILL" and ended.code == -9):
        return []
    lines = [line for line in ended.err.splitlines() if line.startswith("rag-assets: ")]
    if fault.survived:
        return [f"the struck command ended with {ended.code}: {_last_line(ended.err)}"]
    if ended.code not in DOCUMENTED_FAILURES or not lines:
        return [f"the struck command ended with {ended.code} and no sentence: {_last_line(ended.err)}"]
    return []


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "nothing was printed")
