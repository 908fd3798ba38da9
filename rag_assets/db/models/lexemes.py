"""How common words are: what BM25 weighs them by, per chunking and language."""

from sqlalchemy.dialects.postgresql import REGCONFIG
from sqlalchemy.orm import Mapped, mapped_column

from rag_assets.db.models.base import Base, Timestamped


class Lexeme(Base):
    """In how many chunks of a chunking and language a lexeme stands."""

    __tablename__ = "lexemes"

    chunking: Mapped[str] = mapped_column(primary_key=True)
    language: Mapped[str] = mapped_column(REGCONFIG, primary_key=True)
    lexeme: Mapped[str] = mapped_column(primary_key=True)
    documents: Mapped[int]


class WordStatistics(Timestamped, Base):
    """Of how many chunks the lexemes were counted, their mean length in tokens, and the state they were counted in."""

    __tablename__ = "word_statistics"

    chunking: Mapped[str] = mapped_column(primary_key=True)
    language: Mapped[str] = mapped_column(REGCONFIG, primary_key=True)
    chunks: Mapped[int]
    mean_tokens: Mapped[float]
    counted: Mapped[str]
