"""embeddings: each distinct text once, culprits set aside, whatever a model may do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag_assets.db.spaces.spaces import ensure_space
from rag_assets.errors import ServiceError
from rag_assets.pipeline.audit import vectors as audit
from tests.support.fakes import DIMENSIONS, HashEncoder
from tests.support.runs import rows
from tests.support.stages import Steps, write

SECTIONS = [f"# Part {n}\n\n" + " ".join(f"Word{n} number {m} is here." for m in range(70)) + "\n" for n in range(6)]


@pytest.fixture
def zoo(steps: Steps, folder: Path) -> Steps:
    """Project zoo with a few documents, chunked."""
    for number in range(12):
        write(folder / f"{number}.md", f"Animal number {number} eats {number} leaves.")
    steps.project("zoo", folder)
    steps.documents("zoo")
    steps.chunks("zoo")
    return steps


def vectors(steps: Steps) -> int:
    found: int = rows(steps.engine, "SELECT count(*) FROM rag.embeddings")[0][0]
    return found


def faulty(steps: Steps, fault: Callable[[str], Any]) -> HashEncoder:
    steps.encoders[1] = HashEncoder(fault=fault)
    return steps.encoders[1]


def finding(steps: Steps) -> Any:
    with steps.engine.begin() as connection:
        space = ensure_space(connection, steps.target.definition)
    return audit.texts_have_vectors(steps.engine, space)


def test_second_run_embeds_nothing_and_asks_no_model(zoo: Steps) -> None:
    first = zoo.embeddings("zoo")
    assert (first["distinct"], first["reused"], first["embedded"], first["inserted"]) == (12, 0, 12, 12)
    calls = len(zoo.embedded)
    second = zoo.embeddings("zoo")
    assert (second["distinct"], second["reused"], second["embedded"], second["inserted"]) == (12, 12, 0, 0)
    assert len(zoo.embedded) == calls == 12


@pytest.mark.parametrize("change", ["renamed", "copied", "moved to another project"])
def test_texts_that_are_known_are_not_embedded(zoo: Steps, folder: Path, tmp_path: Path, change: str) -> None:
    zoo.embeddings("zoo")
    if change == "renamed":
        (folder / "3.md").rename(folder / "below.md")
    elif change == "copied":
        write(folder / "copy.md", (folder / "3.md").read_bytes())
    else:
        write(tmp_path / "other" / "3.md", (folder / "3.md").read_bytes())
        zoo.project("other", tmp_path / "other")
        zoo.all("other")
    figures = zoo.all("zoo")
    assert figures["embedded"] == 0
    assert len(zoo.embedded) == 12
    assert vectors(zoo) == 12


def test_line_inserted_at_the_top_embeds_only_what_changed(steps: Steps, folder: Path) -> None:
    write(folder / "a.md", "".join(SECTIONS))
    steps.project("zoo", folder)
    steps.all("zoo")
    before = set(steps.embedded)
    write(folder / "a.md", "A line of its own.\n\n" + "".join(SECTIONS))
    figures = steps.all("zoo")
    new = {row[0] for row in rows(steps.engine, "SELECT chunk_text FROM rag.document_chunks")} - before
    assert figures["embedded"] == len(new) <= 2
    assert sorted(steps.embedded) == sorted(before | new)


def test_two_projects_with_the_same_texts_embed_them_once(steps: Steps, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(tmp_path / name / "shared.md", "A text that both have.")
        write(tmp_path / name / "own.md", f"The text of {name} alone.")
        steps.project(name, tmp_path / name)
    steps.write_s = 0.2
    steps.all("one", "two")
    assert sorted(steps.embedded) == ["A text that both have.", "The text of one alone.", "The text of two alone."]
    # One of two owners goes: the shared vector stays. The other goes too: so does the vector.
    (tmp_path / "one" / "shared.md").unlink()
    steps.all("one")
    assert vectors(steps) == 3
    (tmp_path / "two" / "shared.md").unlink()
    steps.all("two")
    assert vectors(steps) == 2


def test_vectors_deleted_by_hand_come_back(zoo: Steps) -> None:
    zoo.embeddings("zoo")
    with zoo.engine.begin() as connection:
        connection.exec_driver_sql(
            "DELETE FROM rag.embeddings WHERE content_hash IN (SELECT content_hash FROM rag.embeddings LIMIT 5)"
        )
    assert zoo.embeddings("zoo")["embedded"] == 5
    assert vectors(zoo) == 12


def refuse(_: str) -> None:
    raise RuntimeError("the tensor is cursed")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (refuse, "RuntimeError: the tensor is cursed"),
        (lambda _: np.full(DIMENSIONS, np.nan), "NaN or infinite"),
        (lambda _: np.full(DIMENSIONS, np.inf), "NaN or infinite"),
        (lambda _: np.zeros(DIMENSIONS), "the vector is zero"),
        (lambda _: np.full(DIMENSIONS, 1e-30), "the vector has length 1.96e-29, not 1"),
        (lambda _: np.full(DIMENSIONS, 1e38), "the vector has length 1.96e+39, not 1"),
        (lambda _: np.ones(DIMENSIONS - 1), "the vector has shape (383,), not (384,)"),
    ],
    ids=["raises", "nan", "infinite", "zero", "almost zero", "huge", "wrong size"],
)
def test_culprit_is_set_aside_with_its_reason_and_the_others_are_embedded(
    zoo: Steps, fault: Callable[[str], Any], reason: str
) -> None:
    culprit = "Animal number 7 eats 7 leaves."
    faulty(zoo, lambda text: fault(text) if text == culprit else None)
    figures = zoo.embeddings("zoo")
    assert (figures["embedded"], figures["failed"]) == (11, 1)
    assert vectors(zoo) == 11
    found = finding(zoo)
    assert not found.passed
    assert found.metadata["missing"] == 1
    assert len(found.metadata["set_aside"]) == 1
    assert culprit in found.metadata["set_aside"][0]
    assert reason in found.metadata["set_aside"][0]

    # The next run tries it again, and it alone.
    zoo.encoders[1] = HashEncoder()
    assert zoo.embeddings("zoo")["embedded"] == 1
    assert zoo.encoders[1].embedded == [culprit]
    assert finding(zoo).passed
    assert rows(zoo.engine, "SELECT * FROM rag.embedding_failures") == []


def test_several_culprits_in_one_batch_are_all_found(zoo: Steps) -> None:
    culprits = {f"Animal number {n} eats {n} leaves." for n in (0, 3, 4, 11)}
    faulty(zoo, lambda text: refuse(text) if text in culprits else None)
    figures = zoo.embeddings("zoo")
    assert (figures["embedded"], figures["failed"]) == (8, 4)
    reasons = [row[0] for row in rows(zoo.engine, "SELECT error FROM rag.embedding_failures")]
    assert {culprit for culprit in culprits for reason in reasons if culprit in reason} == culprits


def test_failure_of_a_text_that_is_gone_goes_too(zoo: Steps, folder: Path) -> None:
    culprit = "Animal number 7 eats 7 leaves."
    faulty(zoo, lambda text: refuse(text) if text == culprit else None)
    zoo.embeddings("zoo")
    (folder / "7.md").unlink()
    zoo.all("zoo")
    assert rows(zoo.engine, "SELECT * FROM rag.embedding_failures") == []
    assert finding(zoo).passed


def test_model_that_loses_texts_stores_no_vector_under_the_wrong_one(zoo: Steps) -> None:
    class Losing(HashEncoder):
        def encode(self, texts: Any) -> Any:
            return super().encode(texts)[:-1]

    zoo.encoders[1] = Losing()
    with pytest.raises(ServiceError, match="gave 0 vectors for 1 texts"):
        zoo.embeddings("zoo")
    assert vectors(zoo) == 0


def test_vectors_of_the_wrong_size_name_the_texts(zoo: Steps) -> None:
    zoo.encoders[1] = HashEncoder(DIMENSIONS - 1)
    with pytest.raises(ServiceError, match=r"shape \(383,\), not \(384,\)"):
        zoo.embeddings("zoo")
    assert vectors(zoo) == 0
    assert "Animal number 1 eats" in str(rows(zoo.engine, "SELECT error FROM rag.embedding_failures"))


def test_model_that_fails_on_everything_ends_the_run(steps: Steps, folder: Path) -> None:
    for number in range(300):
        write(folder / f"{number}.md", f"Animal number {number} eats {number} leaves.")
    steps.project("zoo", folder)
    steps.documents("zoo")
    steps.chunks("zoo")
    faulty(steps, refuse)
    with pytest.raises(ServiceError, match=r"the model sentence-transformers/all-MiniLM-L6-v2 failed .* cursed"):
        steps.embeddings("zoo")
    steps.encoders[1] = HashEncoder()
    assert steps.embeddings("zoo")["embedded"] == 300


def test_small_project_on_which_the_model_always_fails_ends_the_run_too(zoo: Steps) -> None:
    faulty(zoo, refuse)
    with pytest.raises(ServiceError, match="cursed"):
        zoo.embeddings("zoo")
    assert len(rows(zoo.engine, "SELECT * FROM rag.embedding_failures")) == 12


def test_odd_texts_reach_the_model_as_they_are(steps: Steps, folder: Path) -> None:
    texts = ["%s %(x)s :name", "back\\slash \\x00", "quote ' \" `", "🦓 señal\u202e", "tab\tand\vmore"]
    for number, text in enumerate(texts):
        write(folder / f"{number}.txt", text)
    steps.project("zoo", folder)
    steps.all("zoo")
    assert sorted(text.strip() for text in steps.embedded) == sorted(text.strip() for text in texts)
