"""The checks give no false alarm over many runs."""

from sqlalchemy import Engine

from tests.support.pipeline.check_runs import failed_names, run_checks


def test_no_check_fails_in_fifty_clean_runs(built: Engine) -> None:
    for _ in range(50):
        assert failed_names(run_checks()) == set()
