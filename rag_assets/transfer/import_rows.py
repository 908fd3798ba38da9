"""Prove the rows of another library's table before a project takes their texts and vectors."""

from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from rag_assets.db.models import EmbeddingSpace
from rag_assets.documents.sources.globs import Selection, exact_glob
from rag_assets.documents.sources.rows.address import parse_row_address
from rag_assets.documents.sources.rows.source import open_rows
from rag_assets.errors import UsageError
from rag_assets.pipeline.stages.vectors.vector_reuse import reusable_spaces
from rag_assets.pipeline.target.maintained_spaces import maintained_spaces
from rag_assets.pipeline.target.wanted_space import Target, target_space
from rag_assets.settings.settings import Settings
from rag_assets.transfer.library_tables import LibraryRows
from rag_assets.transfer.proof import SampleProof, SurveyedRows, prove_sample, refuse_disagreement, survey_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from rag_assets.embedding.encoder import Encoder

    MakeSpaceEncoder = Callable[[EmbeddingSpace, Settings], Encoder]


@dataclass(frozen=True, slots=True)
class ProvedRows:
    """Rows whose vectors are those of the wanted space; `exclude` are globs of the rows that cannot be taken."""

    uri: str
    survey: SurveyedRows
    proof: SampleProof

    @property
    def exclude(self) -> list[str]:
        return [exact_glob(path) for path in self.survey.refused_paths]


def prove_rows(
    engine: Engine,
    settings: Settings,
    rows: LibraryRows,
    make_encoder: "MakeSpaceEncoder",
    *,
    sample: int,
    project: str | None = None,
) -> ProvedRows:
    """Embed a sample of the rows again, and compare.

    Raises IntegrityError where the vectors are not those of the settings' model, and UsageError where the rows would
    have to be embedded for another space that is kept up to date.
    """
    target = target_space(settings)
    encoder = make_encoder(EmbeddingSpace(**asdict(target.definition), status="building"), settings)
    first = _prove(settings.state_dir, rows, rows.uri, target, encoder, sample, project)
    found = first
    if not first.proof.passed and rows.uri_with_metadata is not None:
        found = _prove(settings.state_dir, rows, rows.uri_with_metadata, target, encoder, sample, project)
        found = found if found.proof.passed else first
    refuse_disagreement(found.proof, parse_row_address(found.uri).shown, target)
    _refuse_other_spaces(engine, target)
    return found


def _prove(
    state_dir: Path,
    rows: LibraryRows,
    uri: str,
    target: Target,
    encoder: "Encoder",
    sample: int,
    project: str | None,
) -> ProvedRows:
    source = open_rows(uri, Selection(), state_dir=state_dir, project=project, password=rows.password)
    with closing(source):
        survey = survey_rows(source, target, sample)
        return ProvedRows(uri, survey, prove_sample(survey, source, encoder))


def _refuse_other_spaces(engine: Engine, target: Target) -> None:
    wanted, *others = maintained_spaces(engine, target)
    for space in others:
        with engine.connect() as connection:
            copies = {source.id for source in reusable_spaces(connection, space)}
        if wanted.id not in copies:
            raise UsageError(
                f"space {space.id} ({space.model}) is {space.status}, and its model would have to embed the imported "
                "texts; bring the space of these settings into service first (rag-assets ingest), and retire the other "
                f"one (rag-assets spaces retire {space.id}). Nothing was imported."
            )
