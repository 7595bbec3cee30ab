"""A node for the wallet's tests: the real ledger in memory, behind HTTP on loopback.

It answers as docs/spec/http.md says. What a test needs to go wrong it can script: answers to the
next submissions, a lost quorum, a connection that breaks.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from desk.description import describe
from ledger.devkeys import derive, tag_key_of
from ledger.encoding import codec, crypto
from ledger.encoding.codec import UINT64_MAX, NotCanonical, Record
from ledger.encoding.normal import tag_key_check
from ledger.encoding.tiles import Tile, parse_path
from ledger.entries import TransactionEntry, decode_entry
from ledger.genesis import log_id_of
from ledger.inadmissible import Inadmissible
from ledger.ledger import Ledger
from ledger.rules.attestations import ATTESTATIONS
from ledger.rules.budgets import BUDGETS
from ledger.rules.cases import ANCHORS
from ledger.rules.centres import ACCREDITATIONS, RECOGNITIONS
from ledger.rules.claims import CLAIMS
from ledger.rules.clearing import CYCLES
from ledger.rules.control import CONTROL, PARAMETERS, TagKey
from ledger.rules.governance import PROPOSALS, Member, proposal_key
from ledger.rules.holds import HOLDS
from ledger.rules.parties import MEMBERS, PARTIES, PartyKey
from ledger.rules.payables import PAYABLES, is_cleared, open_cycle, open_of
from ledger.rules.payments import PAYMENTS
from ledger.rules.programmes import PROGRAMMES, TERMS, TOTALS, missing_consents, terms_hash
from ledger.rules.recoveries import RECOVERIES
from ledger.rules.refusals import TransactionRefused
from ledger.rules.reserves import RESERVES
from ledger.rules.validators import VALIDATORS, validators_at
from ledger.rules.vouchers import VOUCHERS
from ledger.store.memory import MemoryStore
from ledger.transactions import Transaction, parse
from ledger.view import Table, must
from tests.builders import NOON_MS, OFFICERS, Chain, centre, city, genesis, seed
from tests.wallet.proving import Prover

Json = dict[str, Any]

NETWORK = "dev-test"
MASTER = seed("wallet tests")
NODE = "shanghai"
HANG_S = 30
"""No answer takes this long: a guard against hanging, never a measure."""

LISTS: dict[str, Table[Any]] = {
    "parties": PARTIES,
    "vouchers": VOUCHERS,
    "claims": CLAIMS,
    "centres": ACCREDITATIONS,
    "recognitions": RECOGNITIONS,
    "payables": PAYABLES,
    "payments": PAYMENTS,
    "reserves": RESERVES,
    "recoveries": RECOVERIES,
    "holds": HOLDS,
    "anchors": ANCHORS,
    "cycles": CYCLES,
}
SINGLES: dict[str, Table[Any]] = {"parameters": PARAMETERS, "control": CONTROL}
ALIASES = {"claim": "cause"}
"""Filters that are named otherwise than the field they look at."""


@dataclass(frozen=True)
class Reply:
    """An answer as it goes out."""

    status: int
    body: bytes
    media_type: str = "application/json"


class BreakOff(Exception):
    """Scripted: close the connection without an answer."""


def derived(member: Member) -> Member:
    """Return a member whose officers have keys of a dev network."""
    keys = tuple(
        PartyKey(
            key=crypto.public_key(derive(NETWORK, MASTER, member.id, key.person)),
            person=key.person,
            roles=OFFICERS[key.person] if member.kind == "treasury" else (),
        )
        for key in member.keys
    )
    return msgspec.structs.replace(member, keys=keys)


def make_genesis() -> bytes:
    """Return a genesis with two validating cities, a province and two centres."""
    members = (
        city("shanghai"),
        city("guiyang"),
        city("wuhan", validates=False),
        city("henan-province", validates=False, level="province"),
        centre("guian-hub"),
        centre("shanghai-icc", validates=False),
    )
    check_value = tag_key_check(tag_key_of(NETWORK, MASTER))
    return genesis(
        *(derived(member) for member in members),
        network=NETWORK,
        tag_keys=(TagKey(epoch=1, check_value=check_value),),
    )


Scripted = Json | Reply | type[BreakOff]


@dataclass
class FakeNode:
    """A ledger of one validator that commits a block per transaction."""

    url: str = ""
    quorum_age_ms: int = 0
    """Scripted: at 1 and more nothing is committed."""
    submissions: list[Scripted | None] = field(default_factory=list)
    """Scripted answers to the next submissions: fields of a document, a reply, or none at all.

    None stands for the true answer.
    """
    replies: dict[str, Reply] = field(default_factory=dict)
    """Scripted answers by path."""
    refused: dict[str, Json] = field(default_factory=dict)
    """Documents of what a rule refused, by id: a node tells them until it forgets."""
    waiting: list[Json] = field(default_factory=list)
    """Scripted: what waits on the node."""
    page: int = 500
    events: list[tuple[int, str, Json]] = field(default_factory=list)
    events_a_connection: int = 1_000
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    """Method, path with query, and headers of every request."""
    received: list[bytes] = field(default_factory=list)
    """Bodies of all submissions."""
    rehearsed: list[bytes] = field(default_factory=list)
    """Bodies of all simulations."""
    store: MemoryStore = field(default_factory=MemoryStore)

    def __post_init__(self) -> None:
        self.genesis = make_genesis()
        self.chain = Chain(ledger=Ledger(self.store), genesis=self.genesis, now_ms=NOON_MS)
        self.chain.block()
        self.lock = threading.Lock()
        self.prover = Prover(
            chain=self.chain,
            store=self.store,
            network=NETWORK,
            cosigners=("guian-hub", "guiyang", "shanghai"),
            signer=NODE,
        )

    @property
    def log_id(self) -> bytes:
        """Return the log id."""
        return log_id_of(self.genesis)

    def paths(self, method: str) -> list[str]:
        """Return the paths asked with a method, in order, without the genesis."""
        return [path for how, path, _ in self.requests if how == method and path != "/v1/genesis"]

    def answer(self, method: str, target: str, body: bytes) -> Reply:
        """Return the answer to a request."""
        parts = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path in self.replies:
            return self.replies[parts.path]
        if parts.path.startswith("/log/"):
            return self._log(parts.path.removeprefix("/log/"))
        words = parts.path.strip("/").split("/")[1:]
        match method, words:
            case "GET", ["proofs", *rest]:
                return ok(self.prover.proof("/".join(rest).encode()))
            case "GET", ["receipts", transaction_id]:
                self.prover.root()
                made = self.prover.receipt(self._sequence_of(transaction_id))
                return Reply(200, made.to_bytes(), "text/plain")
            case "POST", ["transactions"]:
                self.received.append(body)
                return self._submit(body)
            case "POST", ["transactions", "simulate"]:
                self.rehearsed.append(body)
                return self._simulate(body)
            case "GET", ["transactions"]:
                assert query.pop("status") == "pending"
                return self._listed(self.waiting, query)
            case "GET", ["genesis"]:
                return Reply(200, self.genesis, "application/octet-stream")
            case "GET", ["status"]:
                return ok(self._status())
            case "GET", ["transactions", transaction_id]:
                return self._transaction(transaction_id, query)
            case "GET", ["programmes"]:
                return self._listed([self._programme(key) for key in self._keys(PROGRAMMES)], query)
            case "GET", ["programmes", owner, slug]:
                return self._single(PROGRAMMES, f"{owner}.{slug}", self._programme)
            case "GET", ["programmes", owner, slug, "budget"]:
                return self._listed(self._budgets(f"{owner}.{slug}"), query)
            case "GET", ["vouchers", voucher, "history"]:
                return self._listed(self._history(voucher), query)
            case "GET", ["settlement"]:
                return self._one(describe(open_cycle(self.store)))
            case "GET", ["governance", "proposals"]:
                items = [self._item(PROPOSALS, key) for key in self._keys(PROPOSALS)]
                return self._listed(items, query)
            case "GET", ["governance", "proposals", number]:
                key = proposal_key(int(number))
                return self._single(PROPOSALS, key, lambda key: self._item(PROPOSALS, key))
            case "GET", ["governance", ("parameters" | "control") as name]:
                return self._one(self._item(SINGLES[name], "all"))
            case "GET", ["governance", "members"]:
                ids = self._item(MEMBERS, "all")["ids"]
                return self._listed([self._item(PARTIES, one) for one in ids], query)
            case "GET", ["validators"]:
                schedule = self.store.read(VALIDATORS.key("all"), VALIDATORS.record)
                assert schedule is not None
                acting = validators_at(schedule, self.chain.ledger.last().height + 1)
                return self._listed([describe(one) for one in acting.validators], query)
            case "GET", ["parties", party, "attestations"]:
                keys = self._keys(ATTESTATIONS)
                items = [self._item(ATTESTATIONS, key) for key in keys if key.startswith(party)]
                return self._listed(items, query)
            case "GET", ["payments", debtor, name]:
                key = f"{debtor}/{name}"
                return self._single(PAYMENTS, key, lambda key: self._item(PAYMENTS, key))
            case "GET", [table] if table in LISTS:
                items = [self._item(LISTS[table], key) for key in self._keys(LISTS[table])]
                return self._listed(items, query)
            case "GET", [table, name] if table in LISTS:
                return self._single(LISTS[table], name, lambda key: self._item(LISTS[table], key))
        return problem(404, "not_found", f"nothing at {parts.path}")

    def _sequence_of(self, transaction_id: str) -> int:
        for sequence, raw in enumerate(self.store.log):
            entry = decode_entry(raw)
            if (
                isinstance(entry, TransactionEntry)
                and parse(entry.signed).id.hex() == transaction_id
            ):
                return sequence
        raise AssertionError(f"no transaction {transaction_id}")

    def _log(self, path: str) -> Reply:
        if path == "checkpoint":
            self.prover.root()
            head = self.prover.signed(self.prover.checkpoint())
            return Reply(200, head.to_bytes(), "text/plain")
        tile = parse_path(path)
        assert isinstance(tile, Tile)
        return Reply(200, self.prover.tile(tile), "application/octet-stream")

    def document(self, transaction_id: str, **changes: Any) -> Json:
        """Return a transaction document; pending if nothing else is said."""
        plain = {
            "id": transaction_id,
            "status": "pending",
            "code": "ok",
            "number": 0,
            "message": "",
            "values": {},
            "kind": None,
            "expires_at": None,
            "sequence": None,
            "height": None,
            "postings": [],
            "node": {
                "name": NODE,
                "height": self.chain.ledger.last().height,
                "time_ms": self.chain.ledger.last().time_ms,
                "record_hash": "00" * 32,
                "quorum_age_ms": self.quorum_age_ms,
            },
        }
        return {**plain, **changes}

    def _submit(self, raw: bytes) -> Reply:
        scripted = self.submissions.pop(0) if self.submissions else None
        if scripted is BreakOff:
            raise BreakOff
        if isinstance(scripted, Reply):
            return scripted
        transaction = parse(raw)
        shared = {"kind": transaction.kind, "expires_at": transaction.body.expires_at}
        if isinstance(scripted, dict):
            return ok(self.document(transaction.id.hex(), **(shared | scripted)))
        logged = self.chain.ledger.is_logged(transaction)
        if not logged:
            try:
                checked = self.chain.ledger.check(raw, time_ms=self.chain.now_ms)
            except Inadmissible as error:
                status = 403 if error.code in ("key_unknown", "bad_signature") else 400
                return problem(status, error.code, str(error))
            if checked.refusal is not None:
                told_so = {**shared, **told(checked.refusal), "status": "refused"}
                document = self.document(transaction.id.hex(), **told_so)
                self.refused[transaction.id.hex()] = document
                return ok(document)
            if self.quorum_age_ms:
                return ok(self.document(transaction.id.hex(), **shared), 202)
            self.chain.accept(raw)
        return ok(self._final(transaction))

    def _final(self, transaction: Transaction) -> Json:
        sequence = self.store.sequence_of(transaction.id, transaction.body.expires_at)
        assert sequence is not None
        entry = decode_entry(self.store.log[sequence])
        assert isinstance(entry, TransactionEntry)
        return self.document(
            transaction.id.hex(),
            status="final",
            kind=transaction.kind,
            expires_at=transaction.body.expires_at,
            sequence=sequence,
            height=self.chain.ledger.last().height,
            postings=[describe(posting) for posting in entry.postings],
        )

    def _simulate(self, raw: bytes) -> Reply:
        height = self.chain.ledger.last().height
        effect: Json = {
            "height": height,
            "code": "ok",
            "number": 0,
            "message": "",
            "values": {},
            "postings": [],
        }
        try:
            outcome = self.chain.ledger.simulate(raw, time_ms=self.chain.now_ms)
        except TransactionRefused as refusal:
            return ok(effect | told(refusal))
        except Inadmissible as error:
            return ok(effect | {"code": error.code, "message": str(error)})
        except NotCanonical as error:
            return problem(400, "not_canonical", str(error))
        return ok(effect | {"postings": [describe(posting) for posting in outcome.postings]})

    def _transaction(self, transaction_id: str, query: dict[str, str]) -> Reply:
        expires_at = int(query["expires_at"]) if "expires_at" in query else None
        sequence = self.store.sequence_of(bytes.fromhex(transaction_id), 0)
        if sequence is not None:
            return ok(self.document(transaction_id, status="final", sequence=sequence))
        if expires_at is not None and expires_at <= self.chain.ledger.last().time_ms:
            return ok(self.document(transaction_id, status="expired", code="expired"))
        if transaction_id in self.refused:
            return ok(self.refused[transaction_id])
        return problem(404, "transaction_unknown", f"no transaction {transaction_id}")

    def _status(self) -> Json:
        head = self.chain.ledger.last()
        return {
            "name": NODE,
            "network": NETWORK,
            "log_id": self.log_id.hex(),
            "height": head.height,
            "time_ms": head.time_ms,
            "quorum_age_ms": self.quorum_age_ms,
            "stopped": "",
        }

    def _keys(self, table: Table[Any]) -> list[str]:
        found = [key for key in sorted(self.store.state) if key.startswith(table.prefix)]
        return [key.removeprefix(table.prefix).decode() for key in found]

    def _record(self, table: Table[Any], key: str) -> Record:
        record = self.store.read(table.key(key), table.record)
        assert isinstance(record, Record)
        return record

    def _item(self, table: Table[Any], key: str) -> Json:
        item = describe(self._record(table, key))
        if table is PAYABLES:
            payable = must(self.store, PAYABLES, key)
            done = is_cleared(payable) and payable.cycle < (open_cycle(self.store).number,)
            item["open"] = 0 if done else open_of(payable)
        if table is PARTIES:
            found = self.store.read(RECOVERIES.key(key), RECOVERIES.record)
            waits = found is not None and found.is_open(self.chain.now_ms)
            item["recovery"] = self._item(RECOVERIES, key) if waits else None
        if table is RECOVERIES:
            item["over"] = False
        if table is CYCLES:
            keys = [one for one in self._keys(PAYABLES) if one.startswith(f"clearing.{key:0>9}-")]
            item["settlement"] = [self._item(PAYABLES, one) for one in keys]
        return item

    def _one(self, item: Json, sequence: int = 1) -> Reply:
        height = self.chain.ledger.last().height
        return ok({"item": item, "sequence": sequence, "height": height, "record_hash": "00"})

    def _programme(self, programme: str) -> Json:
        item = self._item(PROGRAMMES, programme)
        return {
            **item,
            "terms": self._item(TERMS, f"{programme}/{item['version'] or item['proposed']}"),
            "proposed_terms": self._proposed_terms(programme, item["proposed"]),
            "totals": self._item(TOTALS, programme),
            "budgets": self._budgets(programme),
        }

    def _proposed_terms(self, programme: str, version: int | None) -> Json | None:
        if version is None:
            return None
        terms = must(self.store, TERMS, programme, str(version))
        missing = list(missing_consents(self.store, programme, version))
        return {
            "hash": terms_hash(terms).hex(),
            "consents_missing": missing,
            "terms": describe(terms),
        }

    def _budgets(self, programme: str) -> list[Json]:
        found = []
        for key in self._keys(BUDGETS):
            owner, year, funder = key.split("/")
            if owner == programme:
                found.append({"year": int(year), "funder": funder, **self._item(BUDGETS, key)})
        return found

    def _history(self, voucher: str) -> list[Json]:
        wanted = VOUCHERS.key(voucher)
        return [
            {
                "sequence": sequence,
                "height": 1,
                "time_ms": NOON_MS,
                "transaction": "00" * 32,
                "voucher": describe(codec.decode(VOUCHERS.record, value[8:], UINT64_MAX)),
            }
            for (key, sequence), value in sorted(self.store.history.items())
            if key == wanted
        ]

    def _single(self, table: Table[Any], key: str, show: Callable[[str], Json]) -> Reply:
        if key not in self._keys(table):
            return problem(404, "not_found", f"no {table.name} {key}")
        sequence = int.from_bytes(self.store.state[table.key(key)][:8], "big")
        return self._one(show(key), sequence)

    def _listed(self, items: list[Json], query: dict[str, str]) -> Reply:
        filters = {name: value for name, value in query.items() if name not in ("limit", "cursor")}
        only_open = filters.pop("open", None) == "true"
        kept = [
            one
            for one in items
            if all(one[ALIASES.get(name, name)] == filters[name] for name in filters)
            and not (only_open and (one.get("cleared_ms") or one.get("open") == 0))
        ]
        start = int(query.get("cursor", "0"))
        size = min(self.page, int(query.get("limit", "100")))
        following = str(start + size) if start + size < len(kept) else None
        return ok({"items": kept[start : start + size], "next": following, "height": 1})


def told(refusal: TransactionRefused) -> Json:
    """Return how a document or an effect tells of a refusal."""
    return {
        "code": refusal.code,
        "number": refusal.number,
        "message": str(refusal),
        "values": refusal.values,
    }


def ok(content: Json, status: int = 200) -> Reply:
    """Return a document as an answer."""
    return Reply(status, json.dumps(content).encode())


def problem(status: int, code: str, detail: str, *, retryable: bool = False) -> Reply:
    """Return problem+json."""
    content = {
        "type": f"https://tallystick.example/problems/{code}",
        "title": code,
        "status": status,
        "detail": detail,
        "code": code,
        "values": {},
        "retryable": retryable,
    }
    return Reply(status, json.dumps(content).encode(), "application/problem+json")


def _handler(node: FakeNode) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = HANG_S
        wbufsize = 64 * 1024  # one packet an answer: two would wait for each other

        def do_GET(self) -> None:
            self._serve("GET", b"")

        def do_POST(self) -> None:
            self._serve("POST", self.rfile.read(int(self.headers["Content-Length"])))

        def _serve(self, method: str, body: bytes) -> None:
            node.requests.append((method, self.path, dict(self.headers)))
            if self.path.startswith("/v1/events") and "/v1/events" not in node.replies:
                self._stream()
                return
            try:
                with node.lock:
                    reply = node.answer(method, self.path, body)
            except BreakOff:
                self.close_connection = True
                return
            self.send_response(reply.status)
            self.send_header("Content-Type", reply.media_type)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

        def _stream(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(b": hello\n\n")
            seen = int(self.headers.get("Last-Event-ID", "-1"))
            following = [event for event in node.events if event[0] > seen]
            for sequence, kind, data in following[: node.events_a_connection]:
                text = f"id: {sequence}\nevent: {kind}\ndata: {json.dumps(data)}\n\n"
                self.wfile.write(text.encode())
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: the tests look at ``requests``."""

    return Handler


@contextmanager
def serving(node: FakeNode) -> Iterator[FakeNode]:
    """Serve a node on a free loopback port until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(node))
    server.daemon_threads = True
    node.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
    )
    thread.start()
    try:
        yield node
    finally:
        server.shutdown()
        server.server_close()
        thread.join(HANG_S)


def unused_url() -> str:
    """Return an address at which nobody listens."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.server_close()
    return f"http://127.0.0.1:{server.server_address[1]}"
