"""A fresh database of either kind, for the tests of whatever is kept in one."""

import pytest

from tests.servers.databases import (
    database_url,
    ledger,
    postgres,
    postgres_template,
    sqlite_template,
)

pytest.register_assert_rewrite("tests.contract.source", "tests.contract.mailer")

__all__ = ["database_url", "ledger", "postgres", "postgres_template", "sqlite_template"]
