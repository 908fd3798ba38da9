"""One round: run a command up to a moment, strike, run it again, and look at what is there."""

import shutil
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from tests.torture.aftermath import Content, count_differences, find_leftovers, read_content
from tests.torture.faults import KILL, Fault
from tests.torture.pairs import Pair
from tests.torture.places import END_PAUSES, Moment, Place
from tests.torture.server import Server
from tests.torture.states import Installation
from tests.torture.worker import Command, Ended, Forker, Running, embedded_batches

AIM_S = 60.0
AIM_INTERVAL_S = 0.002
AIMS = 5
NEVER_SEEN = "the moment was never seen"
# A killed command loses the batch that is written, the one that waits and the one in the model.
BATCHES_AT_RISK = 3
# The exit codes of commands that end with one sentence (docs/pages/reference/cli.md).
DOCUMENTED = (1, 2, 3)


@dataclass
class Round:
    """What was seen; `code` and `again` are the exit codes of the struck command and of the next run."""

    where: str
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

    def strike(self, place: Place, moment: Moment, fault: Fault) -> Round:
        """Strike the place's command at the moment, and run it again.

        A moment of a few milliseconds may pass while the aim looks elsewhere: then another command is aimed at.
        """
        for _ in range(AIMS - 1):
            round_ = self._strike_once(place, moment, fault)
            if round_.misses != [NEVER_SEEN]:
                return round_
        return self._strike_once(place, moment, fault)

    def _strike_once(self, place: Place, moment: Moment, fault: Fault) -> Round:
        expected = self._undisturbed_content(place)
        began = time.monotonic()
        arena = self._prepare(place)
        round_ = Round(place.name, moment.name, fault.name)
        victim = arena.start(place.command, moment)
        children: list[int] = []
        backend = self._aim(round_, victim, arena, moment)
        if backend is not None:
            children = victim.children()
            fault.strike(self._server, victim, backend)
        arena.end_pauses()
        ended = victim.wait()
        round_.code = ended.code
        round_.misses += _judge_struck(ended, fault)
        self._look_back(round_, arena, expected, [ended], children, when_done=place.when_done)
        round_.seconds = round(time.monotonic() - began, 2)
        return round_

    def run_beside(self, pair: Pair) -> Round:
        """Two commands at once, then the first again: the rows of the same commands one after the other."""
        arena = self._prepare(pair.place)
        for command in (pair.place.command, pair.second, pair.place.command):
            if command:
                _assert_undisturbed(arena.start(command).wait())
        expected = arena.read_content()
        arena.discard()
        began = time.monotonic()
        arena = self._prepare(pair.place)
        round_ = Round(pair.name, pair.moment.name, "another command")
        running = [arena.start(pair.place.command, pair.moment)]
        self._aim(round_, running[0], arena, pair.moment)
        if pair.second:
            running.append(arena.start(pair.second, name="second"))
        self._server.execute(arena.database, *pair.statements)
        children = [child for one in running for child in one.children()]
        ended = [one.wait() for one in running]
        arena.end_pauses()
        round_.code = ended[0].code
        round_.misses += [miss for one in ended for miss in _judge_failure(one)]
        self._look_back(round_, arena, expected, ended, children)
        round_.seconds = round(time.monotonic() - began, 2)
        return round_

    def _undisturbed_content(self, place: Place) -> Content:
        """The rows after an undisturbed run of the place's command."""
        if place.name not in self._undisturbed:
            arena = self._prepare(place)
            _assert_undisturbed(arena.start(place.command).wait())
            assert arena.count_embedded_twice() == 0, place.name
            self._undisturbed[place.name] = arena.read_content()
            arena.discard()
        return self._undisturbed[place.name]

    def _aim(self, round_: Round, victim: Running, arena: "Arena", moment: Moment) -> int | None:
        """Wait until the server says that the command is there; returns its session."""
        deadline = time.monotonic() + AIM_S
        with self._server.connect(arena.database) as connection:
            while time.monotonic() < deadline and not victim.has_ended():
                try:
                    row = connection.execute(moment.aim, {"pattern": moment.pattern}).fetchone()
                except psycopg.errors.UndefinedTable:
                    row = None
                if row is not None:
                    backend, round_.aimed_at = row
                    return int(backend)
                time.sleep(AIM_INTERVAL_S)
        round_.misses.append(NEVER_SEEN)
        return None

    def _look_back(
        self,
        round_: Round,
        arena: "Arena",
        expected: Content,
        ended: Sequence[Ended],
        children: list[int],
        *,
        when_done: int = 0,
    ) -> None:
        """Run the command again, and compare what there is then with what there should be."""
        again = arena.start(arena.place.command)
        end = again.wait()
        round_.again = end.code
        if end.code != 0 and (end.code, round_.code) != (when_done, 0):
            round_.misses.append(f"the next run ended with {end.code}: {_last_line(end.err)}")
        round_.embedded_twice = arena.count_embedded_twice()
        if round_.embedded_twice > BATCHES_AT_RISK * arena.largest_batch():
            round_.misses.append(f"{round_.embedded_twice} texts were embedded twice")
        round_.differing = count_differences(arena.read_content(), expected)
        round_.leftovers = find_leftovers(
            self._server, arena.database, arena.folder, arena.home, [*children, *again.children()]
        )
        round_.misses += [f"{rows} rows of {table} differ" for table, rows in round_.differing.items()]
        round_.misses += round_.leftovers
        if round_.misses:
            round_.err = "".join(one.err for one in [*ended, end])
        else:
            arena.discard()

    def _prepare(self, place: Place) -> "Arena":
        self._number += 1
        arena = Arena(self._server, self._forker, self._installation, place, self._work / f"round{self._number}")
        arena.make()
        return arena


@dataclass(frozen=True)
class Arena:
    """The database and the folders of one round."""

    server: Server
    forker: Forker
    installation: Installation
    place: Place
    folder: Path

    @property
    def database(self) -> str:
        return self.folder.name

    @property
    def home(self) -> Path:
        return self.folder / "state" / "dagster_home"

    def make(self) -> None:
        shutil.copytree(self.installation.homes[self.place.state], self.home)
        self.server.copy(self.place.state, self.database)
        self.server.execute(self.database, *self.place.prepare)

    def start(self, arguments: tuple[str, ...], moment: Moment | None = None, *, name: str = "first") -> Running:
        """Start a command; with a moment, so slowly that it stays there for a while."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        env = self.installation.environment(self.folder, self.server.url(self.database))
        if moment is None:
            return self.forker.start(Command(arguments, env, str(folder)))
        self.server.execute(self.database, *moment.pauses)
        slow = Command(arguments, env, str(folder), moment.encode_s, moment.copy_row_s, moment.read_s)
        return self.forker.start(slow)

    def end_pauses(self) -> None:
        """Remove what holds the server; a transaction of the command may need its tables for a moment."""
        while True:
            try:
                self.server.execute(self.database, *END_PAUSES)
            except psycopg.errors.DeadlockDetected:
                continue
            return

    def read_content(self) -> Content:
        return read_content(self.server, self.database)

    def count_embedded_twice(self) -> int:
        counts = Counter(text for batch in self._batches() for text in batch)
        return sum(count - 1 for count in counts.values())

    def largest_batch(self) -> int:
        return max(map(len, self._batches()), default=0)

    def discard(self) -> None:
        self.server.drop(self.database)
        shutil.rmtree(self.folder)

    def _batches(self) -> list[list[str]]:
        return [batch for log in self.folder.glob("*/embedded") for batch in embedded_batches(log)]


def _assert_undisturbed(ended: Ended) -> None:
    assert ended.code == 0, f"undisturbed, a command ended with {ended.code}: {ended.err}"


def _judge_struck(ended: Ended, fault: Fault) -> list[str]:
    """What is wrong with the way in which the struck command ended."""
    if fault is KILL and ended.code == -9:
        return []
    if fault.survived and ended.code is not None and ended.code != 0:
        return [f"the struck command ended with {ended.code}: {_last_line(ended.err)}"]
    return _judge_failure(ended)


def _judge_failure(ended: Ended) -> list[str]:
    """A command ends well, or with a documented exit code and a sentence, and never with a traceback."""
    if ended.code is None:
        return ["a command never ended"]
    if "Traceback" in ended.err or "Traceback" in ended.out:
        return [f"a traceback was printed, ending in {_last_line(ended.err)}"]
    said = [line for line in ended.err.splitlines() if line.startswith("rag-assets: ")]
    if ended.code != 0 and (ended.code not in DOCUMENTED or not said):
        return [f"a command ended with {ended.code} and no sentence: {_last_line(ended.err)}"]
    return []


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "nothing was printed")
