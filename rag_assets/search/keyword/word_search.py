"""A query of words that is searched to several depths, and corrected where its words find nothing."""

from sqlalchemy import Connection

from rag_assets.db.access.viewer import is_restricted
from rag_assets.db.models import EmbeddingSpace
from rag_assets.search.filters.document_filters import Filters
from rag_assets.search.keyword.correction import correct_rarest_word
from rag_assets.search.keyword.lexemes import analyze_query
from rag_assets.search.keyword.query_syntax import Operators, parse_query
from rag_assets.search.keyword.search import KeywordResult, search_keywords


class WordSearch:
    """Keyword search for one query. `excluded` and `corrected` are those of the answer."""

    def __init__(
        self, connection: Connection, space: EmbeddingSpace, query: str, operators: Operators, filters: Filters
    ) -> None:
        self._connection, self._space, self._filters = connection, space, filters
        parsed = parse_query(query, operators)
        self._words = parsed.words
        self.queries = analyze_query(connection, space, parsed)
        self.excluded = list(parsed.excluded)
        self.corrected: dict[str, list[str]] = {}

    def search(self, k: int) -> KeywordResult:
        """The `k` best chunks; a word that no chunk has is replaced where there would be none."""
        found = self._search(k)
        # The words of all chunks are not for a viewer.
        if found.chunks or self.corrected or is_restricted(self._connection):
            return found
        correction = correct_rarest_word(self._connection, self.queries, self._words)
        if correction is None:
            return found
        given, self.queries = self.queries, list(correction.queries)
        corrected = self._search(k)
        if not corrected.chunks:
            self.queries = given
            return found
        words = correction.found_words(self._connection, corrected.chunks[0][0])
        self.corrected = {correction.word: words}
        return corrected

    def _search(self, k: int) -> KeywordResult:
        return search_keywords(self._connection, self._space, self.queries, k=k, filters=self._filters)
