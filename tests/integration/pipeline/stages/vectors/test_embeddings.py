"""embeddings: each distinct text is embedded once, and texts on which the model fails are set aside."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag_assets.db.spaces.spaces import ensure_space
from rag_assets.errors import ServiceError
from rag_assets.pipeline.audit import vectors as audit
from tests.support.fakes import DIMENSIONS, HashEncoder
from tests.support.pipeline.runs import rows
from tests.support.pipeline.stages import Steps, write

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


def count_vectors(steps: Steps) -> int:
    found: int = rows(steps.engine, "SELECT count(*) FROM rag.embeddings")[0][0]
    return found


def use_faulty_encoder(steps: Steps, fault: Callable[[str], Any]) -> HashEncoder:
    steps.encoders[1] = HashEncoder(fault=fault)
    return steps.encoders[1]


def check_texts_have_vectors(steps: Steps) -> Any:
    with steps.engine.begin() as connection:
        space = ensure_space(connection, steps.target.definition)
    return audit.texts_have_vectors(steps.engine, space)


def test_a_second_run_embeds_nothing_and_does_not_call_the_model(zoo: Steps) -> None:
    first = zoo.embeddings("zoo")
    assert (first["distinct"], first["reused"], first["embedded"], first["inserted"]) == (12, 0, 12, 12)
    calls = len(zoo.embedded)
    second = zoo.embeddings("zoo")
    assert (second["distinct"], second["reused"], second["embedded"], second["inserted"]) == (12, 12, 0, 0)
    assert len(zoo.embedded) == calls == 12


@pytest.mark.parametrize("change", ["renamed", "copied", "moved to another project"])
def test_known_texts_are_not_embedded_again(zoo: Steps, folder: Path, tmp_path: Path, change: str) -> None:
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
    assert count_vectors(zoo) == 12


def test_an_inserted_line_embeds_only_changed_chunks(steps: Steps, folder: Path) -> None:
    write(folder / "a.md", "".join(SECTIONS))
    steps.project("zoo", folder)
    steps.all("zoo")
    before = set(steps.embedded)
    write(folder / "a.md", "A line of its own.\n\n" + "".join(SECTIONS))
    figures = steps.all("zoo")
    new = {row[0] for row in rows(steps.engine, "SELECT chunk_text FROM rag.document_chunks")} - before
    assert figures["embedded"] == len(new) <= 2
    assert sorted(steps.embedded) == sorted(before | new)


def test_texts_shared_by_two_projects_are_embedded_once(steps: Steps, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(tmp_path / name / "shared.md", "A text that both have.")
        write(tmp_path / name / "own.md", f"The text of {name} alone.")
        steps.project(name, tmp_path / name)
    steps.write_s = 0.2
    steps.all("one", "two")
    assert sorted(steps.embedded) == ["A text that both have.", "The text of one alone.", "The text of two alone."]
    # The shared vector stays as long as one of the two projects has the text.
    (tmp_path / "one" / "shared.md").unlink()
    steps.all("one")
    assert count_vectors(steps) == 3
    (tmp_path / "two" / "shared.md").unlink()
    steps.all("two")
    assert count_vectors(steps) == 2


def test_deleted_vectors_are_restored(zoo: Steps) -> None:
    zoo.embeddings("zoo")
    with zoo.engine.begin() as connection:
        connection.exec_driver_sql(
            "DELETE FROM rag.embeddings WHERE content_hash IN (SELECT content_hash FROM rag.embeddings LIMIT 5)"
        )
    assert zoo.embeddings("zoo")["embedded"] == 5
    assert count_vectors(zoo) == 12


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
def test_a_text_on_which_the_model_fails_is_set_aside_with_the_reason(
    zoo: Steps, fault: Callable[[str], Any], reason: str
) -> None:
    failing_text = "Animal number 7 eats 7 leaves."
    use_faulty_encoder(zoo, lambda text: fault(text) if text == failing_text else None)
    figures = zoo.embeddings("zoo")
    assert (figures["embedded"], figures["failed"]) == (11, 1)
    assert count_vectors(zoo) == 11
    found = check_texts_have_vectors(zoo)
    assert not found.passed
    assert found.metadata["missing"] == 1
    assert len(found.metadata["set_aside"]) == 1
    assert found.metadata["set_aside"][0].startswith("zoo/7.md chunk 0: ")
    assert "Animal" not in found.metadata["set_aside"][0]
    assert reason in found.metadata["set_aside"][0]

    # The next run tries only this text again.
    zoo.encoders[1] = HashEncoder()
    assert zoo.embeddings("zoo")["embedded"] == 1
    assert zoo.encoders[1].embedded == [failing_text]
    assert check_texts_have_vectors(zoo).passed
    assert rows(zoo.engine, "SELECT * FROM rag.embedding_failures") == []


def test_all_failing_texts_of_a_batch_are_found(zoo: Steps) -> None:
    failing_texts = {f"Animal number {n} eats {n} leaves." for n in (0, 3, 4, 11)}
    use_faulty_encoder(zoo, lambda text: refuse(text) if text in failing_texts else None)
    figures = zoo.embeddings("zoo")
    assert (figures["embedded"], figures["failed"]) == (8, 4)
    named = "SELECT chunk_text FROM rag.embedding_failures JOIN rag.document_chunks USING (content_hash)"
    assert {row[0] for row in rows(zoo.engine, named)} == failing_texts


def test_the_failure_of_a_removed_text_is_deleted(zoo: Steps, folder: Path) -> None:
    failing_text = "Animal number 7 eats 7 leaves."
    use_faulty_encoder(zoo, lambda text: refuse(text) if text == failing_text else None)
    zoo.embeddings("zoo")
    (folder / "7.md").unlink()
    zoo.all("zoo")
    assert rows(zoo.engine, "SELECT * FROM rag.embedding_failures") == []
    assert check_texts_have_vectors(zoo).passed


def test_a_model_that_returns_too_few_vectors_stores_none(zoo: Steps) -> None:
    class LosingEncoder(HashEncoder):
        def encode(self, texts: Any) -> Any:
            return super().encode(texts)[:-1]

    zoo.encoders[1] = LosingEncoder()
    with pytest.raises(ServiceError, match="gave 0 vectors for 1 texts"):
        zoo.embeddings("zoo")
    assert count_vectors(zoo) == 0


def test_vectors_of_the_wrong_size_are_an_error_that_records_the_texts(zoo: Steps) -> None:
    zoo.encoders[1] = HashEncoder(DIMENSIONS - 1)
    with pytest.raises(ServiceError, match=r"shape \(383,\), not \(384,\)"):
        zoo.embeddings("zoo")
    assert count_vectors(zoo) == 0
    assert len(rows(zoo.engine, "SELECT error FROM rag.embedding_failures")) == 12


def test_a_model_that_fails_on_every_text_ends_the_run(steps: Steps, folder: Path) -> None:
    for number in range(300):
        write(folder / f"{number}.md", f"Animal number {number} eats {number} leaves.")
    steps.project("zoo", folder)
    steps.documents("zoo")
    steps.chunks("zoo")
    use_faulty_encoder(steps, refuse)
    with pytest.raises(ServiceError, match=r"the model sentence-transformers/all-MiniLM-L6-v2 failed .* cursed"):
        steps.embeddings("zoo")
    steps.encoders[1] = HashEncoder()
    assert steps.embeddings("zoo")["embedded"] == 300


def test_an_error_that_quotes_its_texts_is_recorded_without_them(zoo: Steps) -> None:
    class Panic(BaseException):
        """Rust's panics, as tokenizers raise them, are no Exception."""

    Panic.__name__ = "PanicException"

    def quote(text: str) -> None:
        raise Panic(f"byte index 9 is not a char boundary; it is inside {text!r}")

    use_faulty_encoder(zoo, quote)
    with pytest.raises(ServiceError, match="PanicException: byte index 9 is not a char boundary") as caught:
        zoo.embeddings("zoo")
    recorded = str(rows(zoo.engine, "SELECT error FROM rag.embedding_failures"))
    for word in ("Animal", "eats", "leaves"):
        assert word not in str(caught.value) + recorded


def test_a_model_that_fails_on_a_whole_small_project_ends_the_run(zoo: Steps) -> None:
    use_faulty_encoder(zoo, refuse)
    with pytest.raises(ServiceError, match="cursed"):
        zoo.embeddings("zoo")
    assert len(rows(zoo.engine, "SELECT * FROM rag.embedding_failures")) == 12


def test_unusual_texts_reach_the_model_unchanged(steps: Steps, folder: Path) -> None:
    texts = ["%s %(x)s :name", "back\\slash \\x00", "quote ' \" `", "🦓 señal\u202e", "tab\tand\vmore"]
    for number, text in enumerate(texts):
        write(folder / f"{number}.txt", text)
    steps.project("zoo", folder)
    steps.all("zoo")
    assert sorted(text.strip() for text in steps.embedded) == sorted(text.strip() for text in texts)
