"""A terminal to type commands at, and what many tests of commands type first."""

import json
from typing import Any

import pytest

from ledger.encoding.normal import credit_check
from ledger.rules import calendar
from tally import cli
from tests.builders import NOON_MS, seed
from tests.wallet.test_terms import ROOT

FACTS = str(ROOT / "localnet" / "programmes.json")
PROGRAMME = "shanghai.compute"
FIRST = f"{PROGRAMME}.000000001"
DAY = calendar.date_of(calendar.day_of(NOON_MS)).isoformat()
BUDGET = ("--key", "shanghai/officer-1", "--key", "shanghai/officer-2")
MINT = ("--key", "shanghai/officer-3", "--key", "shanghai/officer-4")


class Tally:
    """A terminal: runs commands and reads what they wrote."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.out = ""
        self.err = ""

    def __call__(self, *words: str) -> int:
        """Run a command; return its exit code."""
        self._capsys.readouterr()
        code = cli.run(words)
        self.out, self.err = self._capsys.readouterr()
        return code

    def json(self, *words: str, exits: int = 0) -> Any:
        """Run a command in JSON mode and return its one document."""
        code = self("-o", "json", *words)
        assert code == exits, self.out + self.err
        return json.loads(self.out)

    def must(self, *words: str) -> None:
        """Run a command that has to succeed."""
        assert self(*words) == 0, self.out + self.err


def granting(*rows: str) -> list[str]:
    """Return the options that grant what the rows say, each of a decision of its own."""
    return [word for number, row in enumerate(rows, 1) for word in ("--row", f"{row}@{number}")]


def credit_code(party: str) -> str:
    """Return a unified social credit code for a party; every run has the same."""
    digits = "".join(str(byte % 10) for byte in seed("registration", party)[:15])
    return f"91{digits}{credit_check(f'91{digits}')}"


def enrol(
    tally: Tally,
    party: str,
    *,
    city: str = "shanghai",
    region: str = "310000",
    parent: str | None = None,
) -> None:
    """Enrol a start-up and attest where it is registered."""
    signers = ("--key", f"{city}/officer-1", "--key", f"{city}/officer-2")
    tally.must(
        *("party", "enrol", party, "--city", city, "--class", "start_up", "--name", party),
        *("--region", region, "--registration", credit_code(party), "--person", "owner"),
        *(() if parent is None else ("--parent", credit_code(parent))),
        *signers,
    )
    tally.must(
        *("party", "attest", party, "--by", city, "--topic", "registered_in"),
        *("--text", region, *signers),
    )


def redemption(
    *, amount: str = "300", net: str = "1000", invoice: str = "INV-1", **options: str
) -> tuple[str, ...]:
    """Return the words of a redemption at guian-hub, without the proof's option."""
    words = {
        "--line": f"{FIRST}={amount}",
        "--at": "guian-hub",
        "--order": "order-1",
        "--invoice": invoice,
        "--net": net,
        "--usage": f"ascend-910b:{DAY}:120.5:48",
        "--own-share": "00" * 32,
    } | options
    pairs = [word for pair in words.items() for word in pair]
    signers = ("--key", "firm-a/owner", "--key", "guian-hub/officer-1")
    return ("voucher", "redeem", *pairs, *signers)
