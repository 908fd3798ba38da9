"""What the texts of a run may cost: as many are embedded as the budgets of the run and of the month allow."""

from collections.abc import Sequence
from itertools import accumulate
from uuid import uuid4

from sqlalchemy import Engine

from rag_assets.db.database import autocommit_connection
from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.reports.costs import spent_in_run, spent_this_month
from rag_assets.db.writes.rows import EmbeddingCostRow
from rag_assets.embedding.encoder import Encoder
from rag_assets.embedding.remote.names import is_remote
from rag_assets.errors import UsageError
from rag_assets.settings.settings import Settings

TOKENS_PER_PRICE = 1_000_000


def cost_of(tokens: float, price: float | None) -> float | None:
    """What tokens cost at a price per million; None where there is no price."""
    return None if price is None else tokens * price / TOKENS_PER_PRICE


class Budget:
    """Of the texts that one run embeds for one space.

    Raises UsageError for a budget without a price of the space's model.
    """

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        space: EmbeddingSpace,
        encoder: Encoder,
        run_id: str | None,
        *,
        in_batch: bool = False,
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._space = space
        self._run_id = run_id
        self._is_billed = is_remote(space.model)
        self._take_billed = getattr(encoder, "take_billed_tokens", None)
        if self._take_billed is not None:
            # Those of queries before.
            self._take_billed()
        self.price = settings.price_of(space.model, in_batch=in_batch)
        if self._is_billed and self.price is None and self._limits:
            raise UsageError(
                f"{next(iter(self._limits))} is set, but not what {space.model} costs; "
                "set RAG_ASSETS_EMBEDDING_PRICE to its price per million tokens."
            )
        # Of this run without its last batch, whose row may not be written yet.
        self._spent = 0.0
        self._last: EmbeddingCostRow | None = None
        self._counted = self._billed = 0

    @property
    def _limits(self) -> dict[str, float]:
        limits = {
            "RAG_ASSETS_BUDGET_RUN": self._settings.budget_run,
            "RAG_ASSETS_BUDGET_MONTH": self._settings.budget_month,
        }
        return {name: limit for name, limit in limits.items() if limit is not None}

    def affordable(self, counts: Sequence[int]) -> int:
        """How many texts, of these numbers of tokens, the budgets allow, from the first one on."""
        if not self.price or not self._limits:
            return len(counts)
        left = min(limit - spent for limit, spent in zip(self._limits.values(), self._spending(), strict=True))
        # The counts may be estimates; by now it is known how many tokens are billed for them.
        factor = max(1.0, self._billed / self._counted) if self._counted else 1.0
        tokens = left / self.price * TOKENS_PER_PRICE / factor
        return sum(total <= tokens for total in accumulate(counts))

    def bill(self, counted: int) -> EmbeddingCostRow | None:
        """The row of a batch, by the tokens that the server billed; None for a model that nobody bills."""
        if not self._is_billed and self.price is None:
            return None
        tokens = self._take_billed() if self._is_billed and self._take_billed is not None else counted
        self._counted += counted
        self._billed += tokens
        cost = cost_of(tokens, self.price)
        self._spent += (self._last.cost or 0.0) if self._last is not None else 0.0
        self._last = EmbeddingCostRow(uuid4(), self._space.model, tokens, cost)
        return self._last

    def reserve(self, tokens: int) -> float | None:
        """The cost of tokens that are billed later; the caller records it, as spent."""
        cost = cost_of(tokens, self.price)
        self._spent += cost or 0.0
        return cost

    def pause(self, pending: int) -> EmbeddingCostRow:
        """The row that says why `pending` texts were not embedded."""
        spending = dict(zip(self._limits, self._spending(), strict=True))
        name = min(spending, key=lambda name: self._limits[name] - spending[name])
        over = "of this run" if name.endswith("RUN") else "of this month (UTC)"
        then = "run again, or raise it" if name.endswith("RUN") else "raise it, or run again next month"
        reason = (
            f"{pending:,} texts wait, since the budget {over} is spent: {spending[name]:.6g} of {name}="
            f"{self._limits[name]:g}; {then}."
        )
        return EmbeddingCostRow(uuid4(), self._space.model, 0, 0.0, paused=reason)

    def _spending(self) -> list[float]:
        """What was spent by each limit, including the last batch, whether or not it is written."""
        last_cost = (self._last.cost or 0.0) if self._last is not None else 0.0
        without = [self._last.id] if self._last is not None else []
        spent = []
        with autocommit_connection(self._engine) as connection:
            for name in self._limits:
                if not name.endswith("RUN"):
                    stored = spent_this_month(connection, without=without)
                elif self._run_id is not None:
                    stored = spent_in_run(connection, self._run_id, without=without)
                else:
                    stored = self._spent
                spent.append(stored + last_cost)
        return spent
