"""Every reading command against a real server, over a chain that every kind has touched."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.genesis import log_id_of
from tests.api.life import FIRST, PAID, SECOND, live
from tests.api.process import Served, served_at
from tests.builders import genesis as genesis_bytes
from tests.wallet.terminal import Tally
from wallet.profile import NodeAddress, Profile, save_profile

WORDS = [
    ("party", "list"),
    ("party", "show", "firm-a"),
    ("party", "recover", "list", "--status", "open"),
    ("programme", "list"),
    ("programme", "show", "shanghai.compute"),
    ("programme", "budget", "shanghai.compute"),
    ("centre", "list"),
    ("centre", "list", "--voucher", FIRST),
    ("centre", "recognitions", "--programme", "shanghai.shared"),
    ("voucher", "list", "--holder", "firm-a", "--programme", "shanghai.compute"),
    ("voucher", "show", FIRST),
    ("voucher", "history", FIRST),
    ("voucher", "reserves"),
    ("voucher", "reserves", "--holder", "firm-a", "--at", "guian-hub", "--voucher", FIRST),
    ("claim", "list", "--centre", "guian-hub", "--holder", "firm-a"),
    ("claim", "list", "--programme", "shanghai.compute", "--status", "under_review"),
    ("claim", "show", PAID),
    ("settlement", "statement", "--debtor", "shanghai"),
    ("settlement", "statement", "--creditor", "guian-hub", "--sum"),
    ("settlement", "statement", "--debtor", "shanghai", "--movements"),
    (
        *("settlement", "statement", "--creditor", "guian-hub", "--movements"),
        *("--from", "2026-01-31", "--until", "2026-12-31"),
    ),
    ("settlement", "payable", "list", "--claim", PAID),
    ("settlement", "payable", "list", "--open"),
    ("settlement", "payable", "show", f"{PAID}-000"),
    ("settlement", "payment", "list"),
    ("settlement", "payment", "list", "--payable", f"{PAID}-000"),
    ("settlement", "cycle", "list"),
    ("settlement", "cycle", "show"),
    ("settlement", "cycle", "show", "1"),
    ("hold", "list", "--open"),
    ("hold", "list", "--scope", "voucher", "--thing", SECOND),
    ("record", "list", "--by", "shanghai"),
    ("governance", "list", "--status", "adopted"),
    ("governance", "show", "1"),
    ("governance", "validators"),
    ("governance", "members"),
    ("governance", "parameters"),
    ("governance", "control"),
]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve a chain that every kind of transaction has touched."""
    with served_at(tmp_path_factory.mktemp("served"), live) as running:
        yield running


@pytest.fixture
def terminal(served: Served, capsys: pytest.CaptureFixture[str]) -> Tally:
    """Return a terminal whose profile is the server's."""
    profile = Profile(
        name="served",
        network="dev-test",
        log_id=log_id_of(genesis_bytes()).hex(),
        nodes=(NodeAddress(name="shanghai", url=served.address),),
        dev_seed=None,
    )
    save_profile(profile, make_default=True)
    return Tally(capsys)


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_every_reading_command_understands_the_server(
    terminal: Tally, words: tuple[str, ...]
) -> None:
    answer = terminal.json(*words)
    assert answer or "--open" in words or "--status" in words
    terminal.must(*words)


def test_movements_lead_from_the_opening_to_the_closing_balance(terminal: Tally) -> None:
    words = ("settlement", "statement", "--debtor", "shanghai", "--movements")
    first, *between, last = terminal.json(*words)
    assert (first["movement"], last["movement"]) == ("opening", "closing")
    moved = sum(row["amount_fen"] for row in between)
    assert first["balance_fen"] + moved == last["balance_fen"]
    assert len(between) > 2


def test_an_export_understands_the_server(terminal: Tally, tmp_path: Path) -> None:
    out = tmp_path / "orders.csv"
    words = ("settlement", "export", "--debtor", "shanghai", "--out", str(out))
    written = terminal.json(*words)
    assert len(out.read_text().splitlines()) == written["payments"] + 1
