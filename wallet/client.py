"""A node's HTTP interface as Python calls, and how to follow a transaction to its end.

Failures come as errors with an exit code: nobody answers (7), a key or signature is not accepted
(6), not found (3), refused (4), not certain yet (5). Sending the same bytes again is always safe,
so a lost connection is answered by asking the next node of the profile.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar, cast

import httpx2
import msgspec

from desk import following
from desk.documents import Effect, Json, TransactionDocument, unseen
from ledger.genesis import log_id_of
from tally.exits import (
    KeyTrouble,
    NotCertain,
    NotFound,
    Refused,
    TallyError,
    Unreachable,
    UsageError,
)
from tally.output import spoken
from wallet.profile import Profile
from words import answers

T = TypeVar("T")
Query = Mapping[str, str | int | None]
"""What stands behind the question mark; None is left out."""

ANSWER_BYTES_MAX = 32 * 1024 * 1024
"""Far above a page of 500 records: more is not an answer of this interface."""
ANSWER_WITHIN_S = 10
CONNECT_WITHIN_S = 3
WAIT_MS = 20_000
"""How long a node is asked to hold an answer back until it is final."""
ROUND_MS = 2_000
"""One round of following a transaction: short, so that a lost quorum is noticed in time."""
PAUSE_S = 0.5
"""Between rounds that a node answered at once without an outcome."""
BUSY_MAX = 10
"""How often a node may say that it has no room now."""
EVENT_SILENCE_MAX_S = 45
"""Streams say every 15 s that they are alive."""
PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that was logged."""

    sequence: int
    kind: str
    """``transaction``, ``automatic`` or ``block``."""
    data: Json


class ConnectionLost(Unreachable):
    """A node that answered is gone; what was sent may have arrived."""


class NeverSent(Unreachable):
    """A node could not be reached, so nothing was sent to it."""


class NodeClient:
    """One node's HTTP interface. Safe to share between threads."""

    def __init__(self, url: str, *, log_id: bytes | None = None) -> None:
        """Take a node's address; with a log id, its answers are used only if it serves that log."""
        self.url = url.rstrip("/")
        self._expected = log_id
        # trust_env is off: a proxy variable must not reroute what a wallet says or hears.
        self._http = httpx2.Client(
            base_url=self.url,
            trust_env=False,
            # Reading the machine's certificates takes longer than most commands: only for TLS.
            verify=self.url.startswith("https://"),
            timeout=httpx2.Timeout(ANSWER_WITHIN_S, connect=CONNECT_WITHIN_S),
            headers={"User-Agent": "tally", "Accept-Language": spoken().code},
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def submit(
        self, raw: bytes, wait: bool = False, timeout_ms: int = WAIT_MS
    ) -> TransactionDocument:
        """Hand in an envelope and say what became of it.

        ``wait`` lets the node answer only when there is an outcome, or at the timeout. Raises
        Refused for what no block can hold and KeyTrouble for its signatures.
        """
        query: Query = {"wait": "final", "timeout_ms": timeout_ms} if wait else {}
        extra_s = timeout_ms // 1000 if wait else 0
        answer = self._ask("/v1/transactions", query, body=raw, extra_s=extra_s)
        return _typed(answer, TransactionDocument)

    def simulate(self, raw: bytes) -> Effect:
        """Say what an envelope would do now; its signatures need not verify."""
        return _typed(self._ask("/v1/transactions/simulate", {}, body=raw), Effect)

    def transaction(
        self, transaction_id: str, *, expires_at: int | None = None
    ) -> TransactionDocument:
        """Say what became of a transaction; raise NotFound if the node never saw it.

        With its ``expires_at`` an unseen transaction is known to be expired once it is.
        """
        path = f"/v1/transactions/{transaction_id}"
        return _typed(self._ask(path, {"expires_at": expires_at}), TransactionDocument)

    def status(self) -> Json:
        """Return how the node is."""
        return self.get_json("/v1/status")

    def genesis(self) -> bytes:
        """Return the genesis bytes, whose hash is the log id."""
        return self._ask("/v1/genesis", {})

    def get_bytes(self, path: str, **query: str | int | None) -> bytes:
        """Return an answer as it comes; raise NotFound if there is none."""
        return self._ask(path, query)

    def get_json(self, path: str, **query: str | int | None) -> Json:
        """Return a JSON document; raise NotFound if there is none."""
        return _typed(self._ask(path, query), Json)

    def items(self, path: str, **query: str | int | None) -> Iterator[Json]:
        """Yield every item of a list, page by page."""
        cursor: str | None = None
        while True:
            page = self.get_json(path, limit=PAGE, cursor=cursor, **query)
            yield from page["items"]
            cursor = page["next"]
            if cursor is None:
                return

    def rows(self, path: str, **query: str | int | None) -> Iterator[Json]:
        """Yield the rows of an export as they arrive, however many."""
        self._check_log()
        asked = {name: value for name, value in query.items() if value is not None}
        try:
            with self._http.stream("GET", path, params=asked) as answer:
                if answer.is_error:
                    raise failure_of(self.url, answer.status_code, read_answer(answer))
                for line in answer.iter_lines():
                    yield _typed(line.encode(), Json)
        except httpx2.TransportError as error:
            raise self._lost(error) from None

    def events(self, after: int | None = None) -> Iterator[Event]:
        """Yield what is logged after a sequence number (default: from now on), for ever.

        Raises ConnectionLost when the stream ends; go on with the last event's sequence number.
        """
        self._check_log()
        headers = {"Accept": "text/event-stream"}
        if after is not None:
            headers["Last-Event-ID"] = str(after)
        timeout = httpx2.Timeout(EVENT_SILENCE_MAX_S, connect=CONNECT_WITHIN_S)
        try:
            with self._http.stream("GET", "/v1/events", headers=headers, timeout=timeout) as answer:
                if answer.is_error:
                    raise failure_of(self.url, answer.status_code, read_answer(answer))
                for event in httpx2.EventSource(answer):
                    yield Event(
                        sequence=int(event.id), kind=event.event, data=cast(Json, event.json())
                    )
        except httpx2.TransportError as error:
            raise self._lost(error) from None
        except ValueError as error:
            raise ConnectionLost(f"{self.url} sent an event that is none: {error}") from None
        raise ConnectionLost(f"{self.url} ended the event stream")

    def _check_log(self) -> None:
        """Raise UsageError if the node serves another log than the wallet's profile names.

        The genesis proves it: its hash is the log id. Asked once, at the first contact.
        """
        if self._expected is None:
            return
        if log_id_of(self._exchange("/v1/genesis", {})) != self._expected:
            raise UsageError(
                f"{self.url} serves another log than the profile names ({self._expected.hex()}): "
                "the profile is out of date, or the address is wrong"
            )
        self._expected = None

    def _ask(
        self,
        path: str,
        query: Query,
        *,
        body: bytes | None = None,
        extra_s: int = 0,
    ) -> bytes:
        """Return what the node answers to a GET, or to a POST if there is a body."""
        self._check_log()
        return self._exchange(path, query, body=body, extra_s=extra_s)

    def _exchange(
        self,
        path: str,
        query: Query,
        *,
        body: bytes | None = None,
        extra_s: int = 0,
    ) -> bytes:
        try:
            with self._http.stream(
                "GET" if body is None else "POST",
                path,
                params={name: value for name, value in query.items() if value is not None},
                content=body,
                headers={} if body is None else {"Content-Type": "application/octet-stream"},
                timeout=httpx2.Timeout(ANSWER_WITHIN_S + extra_s, connect=CONNECT_WITHIN_S),
            ) as answer:
                content = read_answer(answer)
        except httpx2.TransportError as error:
            raise self._lost(error) from None
        if answer.is_error:
            raise failure_of(self.url, answer.status_code, content, writes=body is not None)
        return content

    def _lost(self, error: httpx2.TransportError) -> Unreachable:
        if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
            return NeverSent(f"no node answers at {self.url}")
        return ConnectionLost(f"the connection to {self.url} was lost")


class Nodes:
    """The nodes of a profile: one in use, the next one when it is lost."""

    def __init__(self, profile: Profile, *, only: str | None = None) -> None:
        """Take a profile's nodes, or the one of them that is named.

        Raises NotFound if no node of the profile has this name.
        """
        addresses = [node for node in profile.nodes if only in (None, node.name)]
        if not addresses:
            known = ", ".join(node.name for node in profile.nodes)
            raise NotFound(f"the profile names no node {only}; it has {known}")
        self._clients = [NodeClient(node.url, log_id=profile.log_id_bytes) for node in addresses]

    def ask(self, question: Callable[[NodeClient], T]) -> T:
        """Return the answer of the first node that gives one.

        Raises what the last one raised if nobody can be reached. Ask only what may be asked twice.
        """
        failure: Unreachable | None = None
        for _ in range(len(self._clients)):
            try:
                return question(self._clients[0])
            except Unreachable as error:
                # What may have arrived weighs more than what was never sent.
                if failure is None or isinstance(failure, NeverSent):
                    failure = error
                self._clients.append(self._clients.pop(0))
        assert failure is not None, "a profile has at least one node"
        raise failure

    def get_json(self, path: str, **query: str | int | None) -> Json:
        """Return a JSON document; raise NotFound if there is none."""
        return self.ask(lambda client: client.get_json(path, **query))

    def items(self, path: str, **query: str | int | None) -> list[Json]:
        """Return every item of a list, all of it from one node."""
        return self.ask(lambda client: list(client.items(path, **query)))

    def rows(self, path: str, **query: str | int | None) -> list[Json]:
        """Return every row of an export, all of it from one node."""
        return self.ask(lambda client: list(client.rows(path, **query)))

    def events(self, after: int | None = None) -> Iterator[Event]:
        """Yield events for ever, going on at the next node where a lost one stopped.

        Raises Unreachable once no node answers.
        """
        seen = after
        silent = 0
        while True:
            try:
                for event in self._clients[0].events(seen):
                    seen = event.sequence
                    silent = 0
                    yield event
            except Unreachable:
                silent += 1
                if silent > len(self._clients):
                    raise
                self._clients.append(self._clients.pop(0))
                time.sleep(PAUSE_S)

    def close(self) -> None:
        """Close every connection."""
        for client in self._clients:
            client.close()


def send_and_wait(
    nodes: Nodes,
    raw: bytes,
    *,
    transaction_id: str,
    expires_at: int,
    wait: bool = True,
    timeout_s: int | None = None,
) -> TransactionDocument:
    """Send an envelope and return its document once it is final.

    Raises Refused (by a rule, and dropped; or expired), NotCertain (still pending with ``wait`` off
    or at the timeout) or Unreachable (no node, or no quorum). The last two say until when it may
    still become final, and how to wait.
    """
    sent = False
    busy = 0

    def next_document() -> TransactionDocument:
        nonlocal sent, busy
        while True:
            try:
                document = nodes.ask(lambda node: node.submit(raw, wait, timeout_ms=ROUND_MS))
            except NeverSent as error:
                if not sent:
                    raise NeverSent(f"{error.message}; nothing was sent") from None
                raise _left_open(error, transaction_id, expires_at) from None
            except Unreachable as error:
                sent = True
                busy += 1
                if busy > BUSY_MAX or not error.details.get("retryable"):
                    raise _left_open(error, transaction_id, expires_at) from None
                time.sleep(PAUSE_S)
            else:
                sent = True
                return document

    return _follow(
        next_document,
        transaction_id=transaction_id,
        expires_at=expires_at,
        wait=wait,
        timeout_s=timeout_s,
    )


def wait_for(
    nodes: Nodes, transaction_id: str, *, expires_at: int | None, timeout_s: int | None = None
) -> TransactionDocument:
    """Return the document of a transaction that was sent before, once it is final.

    Raises as ``send_and_wait`` does, and NotFound if no node knows of it and no expiry is given.
    """

    def next_document() -> TransactionDocument:
        try:
            return nodes.ask(
                lambda client: client.transaction(transaction_id, expires_at=expires_at)
            )
        except NotFound:
            if expires_at is None:
                raise
            return unseen(transaction_id, expires_at)

    return _follow(
        next_document,
        transaction_id=transaction_id,
        expires_at=expires_at,
        wait=True,
        timeout_s=timeout_s,
    )


def _follow(
    next_document: Callable[[], TransactionDocument],
    *,
    transaction_id: str,
    expires_at: int | None,
    wait: bool,
    timeout_s: int | None,
) -> TransactionDocument:
    """Ask until there is an outcome, or no reason to go on asking."""
    give_up_at = None if timeout_s is None else time.monotonic() + timeout_s
    while True:
        began = time.monotonic()
        answered = next_document()
        try:
            document = following.checked(answered, transaction_id, expires_at)
        except following.OfAnother as error:
            raise ConnectionLost(f"{answered.node.name} {error}") from None
        patience = following.Patience(
            waits=wait,
            is_over=give_up_at is not None and time.monotonic() >= give_up_at,
        )
        meaning = following.meaning_of(document, patience)
        if meaning == "final":
            return document
        if meaning != "ask_again":
            raise FAILURES[meaning](
                following.text_of(document, meaning, expires_at, spoken()),
                details=following.details_of(document, expires_at),
            )
        if time.monotonic() - began < PAUSE_S:
            time.sleep(PAUSE_S)


FAILURES: dict[following.Meaning, type[TallyError]] = {
    "refused": Refused,
    "open": NotCertain,
    "no_quorum": Unreachable,
}
"""What is raised for what did not become final."""


def _left_open(error: Unreachable, transaction_id: str, expires_at: int) -> Unreachable:
    return Unreachable(
        f"{error.message}. {following.how_to_wait(transaction_id, expires_at, spoken())}",
        details={**error.details, "id": transaction_id, "expires_at": expires_at},
    )


def failure_of(url: str, status: int, content: bytes, *, writes: bool = False) -> TallyError:
    """Return what a problem document means; another body is named by its HTTP status."""
    try:
        problem = _typed(content, Json)
    except Unreachable:
        problem = {}
    code = str(problem.get("code", "http_error"))
    values = _values_of(problem)
    detail = str(problem.get("detail", f"{url} answered HTTP {status}"))
    if answers.says(code, values):
        detail = answers.sentence(code, values, spoken())
    details = {
        "code": code,
        "values": values,
        "retryable": bool(problem.get("retryable", False)),
    }
    match status:
        case 403:
            return KeyTrouble(detail, details=details)
        case 404:
            return NotFound(detail, details=details)
        case 400 | 413 if writes:
            text = spoken().text("follow.not_admitted", code=code, sentence=detail)
            return Refused(text, details=details)
        case 429:
            return Unreachable(f"{url}: {detail}", details=details)
        case _ if 400 <= status < 500:
            return UsageError(detail, details=details)
    return Unreachable(f"{url}: {detail}", details=details)


def _values_of(problem: Json) -> dict[str, int | str]:
    """Return the typed values of a problem document; a server may write anything there."""
    values = problem.get("values")
    if not isinstance(values, dict):
        return {}
    return {name: value for name, value in values.items() if isinstance(value, int | str)}


def read_answer(answer: httpx2.Response) -> bytes:
    """Return an answer's body; raise ConnectionLost once it is longer than any that we ask for."""
    body = bytearray()
    for piece in answer.iter_bytes():
        body += piece
        if len(body) > ANSWER_BYTES_MAX:
            raise ConnectionLost(f"{answer.url} answered more than {ANSWER_BYTES_MAX} bytes")
    return bytes(body)


def _typed(content: bytes, type_: type[T]) -> T:
    """Return an answer as a type; fields that this wallet does not know are left out."""
    try:
        return msgspec.json.decode(content, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConnectionLost(f"the node answered in an unknown form: {error}") from None
