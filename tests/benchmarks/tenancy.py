"""python -m tests.benchmarks.tenancy [--vectors 100000] [--questions 100] [--rounds 3]: searches under policies.

A database of synthetic texts, of which groups may read 0.1%, 1%, 10% and 50%: documents at random, or whole clusters.
For each share, callers of both kinds, drawn at random, ask by vector, once as principals and once without a policy, by
a filter for the same documents. Prints one JSON object: for each share `recall` against an exact scan under the same
principal, the fewest `rows` of an answer (10 are asked for), `p95_ms` of both sides and their `p95_ratio`; and the
same ratio for searches by words and hybrid ones, whose frequencies of words differ between the two.
"""

import argparse
import json
from collections.abc import Sequence
from random import Random
from typing import Any

from sqlalchemy import Engine, text

from rag_assets import Viewer
from rag_assets.db.access.roles import apply_roles
from rag_assets.db.access.viewer import viewing_as
from rag_assets.db.connections.engines import make_engine
from rag_assets.search.results import Answer, Mode
from rag_assets.search.retriever import Retriever
from tests.benchmarks.clustered import Corpus
from tests.benchmarks.filtering import distances, recall
from tests.benchmarks.search import database_server, filled_database
from tests.benchmarks.synthetic import QUESTIONS, SHARES
from tests.benchmarks.timing import measure_latencies

K = 10
MODES: tuple[Mode, ...] = ("vector", "text", "hybrid")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=int, default=100_000)
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with database_server() as admin, filled_database(admin, arguments.vectors) as (engine, _):
        declare_readers(engine)
        asked = Corpus(arguments.vectors).questions(QUESTIONS)
        texts, vectors = asked.texts[: arguments.questions], list(asked.vectors)[: arguments.questions]
        found = {share: measure_share(engine, share, texts, vectors, arguments.rounds) for share in SHARES}
    print(json.dumps({"vectors": arguments.vectors, "shares": found}))


def declare_readers(engine: Engine) -> None:
    """The groups that may read a document are named like its tier and its area."""
    owner = make_engine(engine.url)
    with owner.begin() as connection:
        apply_roles(connection)
        connection.execute(
            text(
                "UPDATE rag.documents SET readers = "
                "ARRAY['group:tier ' || (metadata ->> 'tier'), 'group:area ' || (metadata ->> 'area')]"
            )
        )
    with owner.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM (ANALYZE) rag.documents"))
    owner.dispose()


def measure_share(
    engine: Engine, share: str, texts: Sequence[str], vectors: Sequence[Any], rounds: int
) -> dict[str, Any]:
    retriever, chance = Retriever(engine), Random(share)
    kinds = [chance.choice(["tier", "area"]) for _ in vectors]
    answers: dict[int, Answer] = {}

    def principal(number: int, query: Any, mode: Mode, *, exact: bool = False) -> Answer:
        with viewing_as(Viewer(groups=[f"{kinds[number]} {share}"])):
            return retriever.search(query, k=K, mode=mode, exact=exact)

    def by_filter(number: int, query: Any, mode: Mode) -> Answer:
        return retriever.search(query, k=K, mode=mode, metadata={kinds[number]: share})

    def ask(number: int) -> None:
        answers[number] = principal(number, vectors[number], "vector")

    times = measure_latencies(
        {"principal": ask, "filter": lambda number: by_filter(number, vectors[number], "vector")}, len(vectors), rounds
    )
    best = [distances(principal(number, vector, "vector", exact=True)) for number, vector in enumerate(vectors)]
    ratios: dict[str, Any] = {}
    for mode in MODES[1:]:
        of_mode = measure_latencies(
            {
                "principal": lambda number, mode=mode: principal(number, texts[number], mode),  # type: ignore[misc]
                "filter": lambda number, mode=mode: by_filter(number, texts[number], mode),  # type: ignore[misc]
            },
            len(texts),
            1,
        )
        ratios[mode] = {name: of_mode[name]["p95_ms"] for name in of_mode} | {
            "p95_ratio": round(of_mode["principal"]["p95_ms"] / of_mode["filter"]["p95_ms"], 3)
        }
    return {
        "recall": recall([distances(answers[number]) for number in range(len(vectors))], best),
        "rows": min(len(answer.hits) for answer in answers.values()),
        "plans": sorted({answer.plan for answer in answers.values()}),
        "p50_ms": times["principal"]["p50_ms"],
        "p95_ms": times["principal"]["p95_ms"],
        "filter_p50_ms": times["filter"]["p50_ms"],
        "filter_p95_ms": times["filter"]["p95_ms"],
        "p95_ratio": round(times["principal"]["p95_ms"] / times["filter"]["p95_ms"], 3),
        **ratios,
    }


if __name__ == "__main__":
    main()
