"""What a watch found: files that are never overwritten, and a webhook that is told until it heard.

A finding is two files of one name: NAME.json, which is also what the webhook gets, and beside it
the evidence (spec Y13). Once it was delivered NAME.delivered stands there too.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from audit.web import NoAnswer, Web
from ledger.store.durable import write_durably, write_once
from tally.exits import TallyError
from tally.output import to_json

FINDINGS_MAX = 1_024
"""Most findings that a folder takes: it is to end even if a server goes back again and again."""
RETRY_S = 1
"""Before the webhook is called again; doubles up to the next."""
RETRY_MAX_S = 300
DELIVERIES_MAX = 4
"""Findings of one call: a slow webhook must not keep the watch from looking."""
EVIDENCE_ENDING = ".misbehaviour"

Document = dict[str, Any]


class Findings:
    """The findings of a folder, used by one process."""

    def __init__(self, folder: Path) -> None:
        """Take up a folder; what a kill left half done is completed."""
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for name in self.names():
            document = self.document(name)
            write_once(self.evidence_path(name), document["evidence"].encode())

    def names(self) -> list[str]:
        """Return the names of all findings."""
        return sorted(path.stem for path in self._folder.glob("*.json"))

    def has(self, name: str) -> bool:
        """Return whether there is a finding of a name."""
        return self._path(name, ".json").exists()

    def document(self, name: str) -> Document:
        """Return a finding as the webhook gets it."""
        path = self._path(name, ".json")
        try:
            document: Document = msgspec.json.decode(path.read_bytes(), type=Document)
            if not isinstance(document["evidence"], str):
                raise ValueError("no evidence")
        except (ValueError, KeyError) as error:
            raise TallyError(f"{path} is damaged: {error}; put it elsewhere") from None
        return document

    def evidence_path(self, name: str) -> Path:
        """Return where the evidence of a finding is."""
        return self._path(name, EVIDENCE_ENDING)

    def record(self, name: str, document: Document) -> bool:
        """Make a finding durable; return False if there is no room for it."""
        if len(self.names()) >= FINDINGS_MAX:
            return False
        write_once(self._path(name, ".json"), (to_json(document, indent=2) + "\n").encode())
        write_once(self.evidence_path(name), document["evidence"].encode())
        return True

    def undelivered(self) -> Iterator[str]:
        """Yield the findings that no webhook has taken."""
        return (name for name in self.names() if not self._path(name, ".delivered").exists())

    def mark_delivered(self, name: str) -> None:
        """Remember that the webhook has taken a finding."""
        write_durably(self._path(name, ".delivered"), b"")

    def _path(self, name: str, ending: str) -> Path:
        return self._folder / (name + ending)


class Webhook:
    """Gets every finding at least once. Its address may hold a secret, so it is never said."""

    def __init__(self, address: str, web: Web, findings: Findings) -> None:
        self._address = address
        self._web = web
        self._findings = findings
        self._wait_s = RETRY_S
        self.due_s = 0
        """When it makes sense to deliver again; any clock."""

    def deliver(self, now_s: int) -> str | None:
        """Deliver a few findings if it is time to; return what failed, for people.

        One failure ends the call: the next finding would fail at the same address.
        """
        if now_s < self.due_s:
            return None
        for name in islice(self._findings.undelivered(), DELIVERIES_MAX):
            body = to_json(self._findings.document(name)).encode()
            try:
                self._web.post(self._address, body)
            except NoAnswer as error:
                self.due_s = now_s + self._wait_s
                self._wait_s = min(2 * self._wait_s, RETRY_MAX_S)
                return f"the webhook {error}; it is called again"
            self._findings.mark_delivered(name)
            self._wait_s = RETRY_S
        self.due_s = now_s
        return None

    def has_all(self) -> bool:
        """Return whether nothing is left to deliver."""
        return next(self._findings.undelivered(), None) is None
