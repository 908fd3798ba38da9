"""The checks give no false alarm over many runs."""

from sqlalchemy import Engine

from tests.support.check_runs import look, red


def test_fifty_clean_runs_turn_nothing_red(built: Engine) -> None:
    for _ in range(50):
        assert red(look()) == set()
