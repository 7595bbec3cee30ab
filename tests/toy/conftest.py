"""Software of rules version 2: it differs from ours by one entry in each list."""

import pytest

from ledger import catalogue
from ledger.tables import TABLES
from tests.toy.note import NOTE, NOTES


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process run the software that knows notes."""
    monkeypatch.setitem(catalogue.KINDS, NOTE.name, NOTE)
    monkeypatch.setitem(TABLES, NOTES.name, NOTES)
    monkeypatch.setattr(catalogue, "RULES_VERSIONS", (1, 2))
