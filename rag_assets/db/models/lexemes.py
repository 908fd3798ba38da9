"""How common words are, per chunking and language: BM25 weights words by it."""

from sqlalchemy import Text
from sqlalchemy.dialects.postgresql import REGCONFIG
from sqlalchemy.orm import Mapped, mapped_column

from rag_assets.db.models.base import Base, Timestamped


class Lexeme(Base):
    """The number of chunks of a chunking and language that contain a lexeme."""

    __tablename__ = "lexemes"

    chunking: Mapped[str] = mapped_column(primary_key=True)
    language: Mapped[str] = mapped_column(REGCONFIG, primary_key=True)
    # In the order of code points, its index serves prefixes.
    lexeme: Mapped[str] = mapped_column(Text(collation="C"), primary_key=True)
    documents: Mapped[int]


class WordStatistics(Timestamped, Base):
    """How many chunks the lexemes were counted in, their mean length in tokens, and the state of the tables then."""

    __tablename__ = "word_statistics"

    chunking: Mapped[str] = mapped_column(primary_key=True)
    language: Mapped[str] = mapped_column(REGCONFIG, primary_key=True)
    chunks: Mapped[int]
    mean_tokens: Mapped[float]
    counted: Mapped[str]
