"""Clients that spend the same vouchers at all nodes at once, and write down what they hear."""

import random
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx2
import msgspec

from ledger.rules.vouchers import Transfer, voucher_id
from ledger.transactions import parse
from localnet.network import LocalNetwork
from localnet.signing import DevSigner, Signed
from trials.bench.transfers import FACE_FEN, PROGRAMME, firm
from trials.chaos.history import Answer, Asked, History, Said, Spending

FIRMS = 64
"""Each holds one voucher; the last one's is spent only to let block time pass."""
LIFE_MS = 6_000
"""Of each transfer: short, so that the end of a run soon knows what became of all of them."""
WAIT_MS = 1_000
ANSWER_WITHIN_S = 3
SENDINGS_MAX = 4
"""How often one transaction is handed in while nobody answers, each time at another node."""
ACTIVE = 6
"""Vouchers that are spent at a time: few, so that clients meet at them."""
REFUSALS_MAX = 6
"""Refusals after which a voucher counts as spent."""
PAUSE_S = 0.03

SAID: dict[str, Said] = {
    "final": "final",
    "refused": "refused",
    "expired": "expired",
    "pending": "pending",
}


class Crowd:
    """Some clients, each in a thread of its own, that share vouchers and one history."""

    def __init__(self, network: LocalNetwork, *, clients: int, seed: int) -> None:
        """Take a network on which ``trials.bench.transfers.Load`` prepared FIRMS firms."""
        self.history = History(
            faces={voucher_id(PROGRAMME, number + 1): FACE_FEN for number in range(FIRMS)}
        )
        self._network = network
        self._signer = DevSigner(network)
        self._nodes = list(network.places)
        self._lock = threading.Lock()
        self._refusals: dict[int, int] = dict.fromkeys(range(ACTIVE), 0)
        """How often each of the vouchers in use was refused, by the number of its firm."""
        self._next_firm = ACTIVE
        self._made = 0
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(
                target=self._run, args=(number, random.Random(f"{seed}/client/{number}"))
            )
            for number in range(clients)
        ]

    def start(self) -> None:
        """Let the clients begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let every client finish what it is doing."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def finals(self) -> int:
        """Return how many answers said final so far."""
        return sum(answer.said == "final" for answer in self.history.answers)

    def settle(self, timeout_s: int) -> list[str]:
        """Ask until it is certain what became of everything; return the ids of what is not.

        Block time must pass their expiry, so small transfers go on meanwhile.
        """
        http = _http()
        dice = random.Random(0)
        deadline = time.monotonic() + timeout_s
        while open_ := self._open():
            if time.monotonic() > deadline:
                return open_
            self._spend(http, -1, dice, FIRMS - 1, 1)
            for name in open_:
                self._status(http, -1, name, dice.choice(self._nodes))
            time.sleep(0.2)
        # Every node says the same of everything in the end.
        for name in self.history.spendings:
            self._status(http, -1, name, dice.choice(self._nodes))
        http.close()
        return []

    def _open(self) -> list[str]:
        certain = self.history.certain()
        return [name for name in self.history.spendings if name not in certain]

    def _run(self, client: int, dice: random.Random) -> None:
        http = _http()
        while not self._stop.is_set():
            name = self._transfer(http, client, dice)
            if dice.randrange(3) == 0:
                self._status(http, client, name, dice.choice(self._nodes))
            if dice.randrange(3) == 0:
                self._balance(http, client, dice)
            time.sleep(dice.uniform(0, PAUSE_S))
        http.close()

    def _transfer(self, http: httpx2.Client, client: int, dice: random.Random) -> str:
        """Spend out of a voucher in use; return the transaction's id."""
        with self._lock:
            number = dice.choice(list(self._refusals))
        amount = dice.randrange(FACE_FEN // 200, FACE_FEN // 20)
        if dice.randrange(5) == 0:
            amount += FACE_FEN // 3  # two of these do not fit beside each other for long
        return self._spend(http, client, dice, number, amount)

    def _spend(
        self, http: httpx2.Client, client: int, dice: random.Random, number: int, amount: int
    ) -> str:
        """Sign a transfer and hand it in, elsewhere again while nobody answers; return its id."""
        with self._lock:
            self._made += 1
            # Amounts differ, so that no two transfers are the same transaction.
            signed, spending = self._sign(number, amount + self._made)
            self.history.spendings[spending.id] = spending
        for node in dice.sample(self._nodes, min(SENDINGS_MAX, len(self._nodes))):
            answer = self._submit(http, client, signed, node)
            if answer.said == "refused":
                self._count_refusal(number)
            if answer.said != "lost" or self._stop.is_set():
                break
        return spending.id

    def _sign(self, number: int, amount: int) -> tuple[Signed, Spending]:
        holder, recipient = firm(number), firm((number + 1) % FIRMS)
        operation = Transfer(
            voucher=voucher_id(PROGRAMME, number + 1),
            holder=holder,
            recipient=recipient,
            amount=amount,
        )
        signers = (holder, "owner"), (recipient, "owner")
        signed = self._signer.sign(operation, *signers, life_ms=LIFE_MS)
        return signed, Spending(
            id=signed.id,
            voucher=operation.voucher,
            amount=amount,
            expires_at_ms=parse(signed.raw).body.expires_at,
        )

    def _count_refusal(self, number: int) -> None:
        """Give up a voucher that is spent, and take a fresh one while there is one."""
        with self._lock:
            if number not in self._refusals:
                return
            self._refusals[number] += 1
            if self._refusals[number] >= REFUSALS_MAX and self._next_firm < FIRMS - 1:
                del self._refusals[number]
                self._refusals[self._next_firm] = 0
                self._next_firm += 1

    def _submit(self, http: httpx2.Client, client: int, signed: Signed, node: str) -> Answer:
        def ask() -> httpx2.Response:
            return http.post(
                self._network.places[node].url + "/v1/transactions",
                params={"wait": "final", "timeout_ms": WAIT_MS},
                content=signed.raw,
                headers={"content-type": "application/octet-stream"},
            )

        return self._ask(ask, client, node, "submit", signed.id)

    def _status(self, http: httpx2.Client, client: int, name: str, node: str) -> None:
        expires_at_ms = self.history.spendings[name].expires_at_ms
        path = f"/v1/transactions/{name}?expires_at={expires_at_ms}"
        url = self._network.places[node].url + path
        self._ask(lambda: http.get(url), client, node, "status", name)

    def _balance(self, http: httpx2.Client, client: int, dice: random.Random) -> None:
        with self._lock:
            voucher = voucher_id(PROGRAMME, dice.choice(list(self._refusals)) + 1)
        node = dice.choice(self._nodes)
        url = f"{self._network.places[node].url}/v1/vouchers/{voucher}"
        self._ask(lambda: http.get(url), client, node, "balance", voucher)

    def _ask(
        self,
        ask: Callable[[], httpx2.Response],
        client: int,
        node: str,
        asked: Asked,
        about: str,
    ) -> Answer:
        """Ask, and note the answer in the history."""
        called_us = _now_us()
        said: Said = "lost"
        fields: dict[str, Any] = {}
        try:
            response = ask()
            document = msgspec.json.decode(response.content)
            said, fields = _read(asked, response.status_code, document)
        except (httpx2.TransportError, msgspec.DecodeError):
            pass  # the process was killed; whether it took the transaction in, nobody knows
        answer = Answer(
            client=client,
            node=node,
            asked=asked,
            about=about,
            called_us=called_us,
            answered_us=_now_us(),
            said=said,
            **fields,
        )
        self.history.answers.append(answer)
        return answer


def _read(asked: Asked, status: int, document: dict[str, Any]) -> tuple[Said, dict[str, Any]]:
    """Return what an answer says, and the fields that go with it."""
    if status == 404:
        return "unknown", {}
    if status >= 400:
        return "lost", {"code": document.get("code", "")}
    if asked == "balance":
        anchor = {"as_of": document["height"], "record_hash": document["record_hash"]}
        return "balance", {"amount": document["item"]["available"], **anchor}
    node = document["node"]
    return SAID[document["status"]], {
        "code": document["code"],
        "height": document["height"] or 0,
        "sequence": document["sequence"] or 0,
        "as_of": node["height"],
        "time_ms": node["time_ms"],
        "record_hash": node["record_hash"],
    }


def _now_us() -> int:
    return time.monotonic_ns() // 1_000


def _http() -> httpx2.Client:
    return httpx2.Client(trust_env=False, timeout=ANSWER_WITHIN_S)
