"""Compares the heads that nodes publish with each other and with those seen before (spec Y14).

A *branch* is the largest head of a line of heads that extend each other. An honest log has one. A
head that is no part of any branch contradicts them all, and starts a branch of its own.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Literal

import msgspec

from audit.findings import Document, Findings
from audit.web import NoAnswer, Published, Web
from ledger.encoding import checkpoint, merkle, misbehaviour, note, policy, tiles
from ledger.encoding.checkpoint import Checkpoint
from ledger.encoding.crypto import sha256
from ledger.encoding.misbehaviour import Misbehaviour, NotAccepted, NothingProven
from ledger.encoding.note import NOTE_BYTES_MAX, Note
from ledger.encoding.policy import POLICY_BYTES_MAX, Accepted, Policy
from ledger.encoding.text import MalformedText
from ledger.encoding.tiles import HASH_BYTES, TILE_WIDTH, Tile, TileNodes
from ledger.store.durable import write_durably
from tally.exits import TallyError
from wallet.verified import HEAD_AGE_MAX_S, following
from words import dates

BRANCHES_MAX = 16
"""Most branches that are remembered."""
NODES_MAX = 64
"""Most nodes of one watch."""
POLICIES_MAX = 32
"""Most policies that are followed beside those that were given."""
TREES_MAX = 4
"""How many servers are asked for the tiles of one tree."""
COMPARE_S = 30
"""Seconds for the tiles of one tree from one server."""
ROUND_S = 120
"""Seconds of a round in which tiles and policies are asked for: slow servers must not stop it."""
NAMES_MAX = 8
"""How many unknown cosigners a sentence names."""
STATE_BYTES_MAX = 2 * (BRANCHES_MAX + NODES_MAX) * NOTE_BYTES_MAX


class Code(StrEnum):
    """What a node's head is; each is worse than those before."""

    OK = "ok"
    BEHIND = "behind"
    """A part of a larger head; harmless."""
    UNREACHABLE = "unreachable"
    UNCOMPARED = "uncompared"
    """Nobody gave the tiles that it takes to compare it."""
    OLD = "old"
    """No quorum has seen it lately."""
    UNTRUSTED = "untrusted"
    """No policy accepts it, or it is no head at all."""
    WRONG_TILES = "wrong_tiles"
    """The tiles that the node serves do not lead to its head."""
    WENT_BACK = "went_back"
    """The node has served a larger one itself; no key contradicts itself by that."""
    ROLLBACK = "rollback"
    """Keys cosigned it after a larger one."""
    FORK = "fork"
    """The log has branches."""


FINDINGS = (Code.WENT_BACK, Code.ROLLBACK, Code.FORK)
"""What is kept as a finding and told to the webhook."""
HARMLESS = (Code.OK, Code.BEHIND, Code.UNREACHABLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something to tell."""

    code: Code
    node: str
    """Its address."""
    sentence: str
    size: int | None = None
    finding: str | None = None
    """Name of the finding's files, if it was kept as one."""
    facts: Document = field(default_factory=dict)


class Kept(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A head as it was first seen: the sooner it was cosigned, the more a later one proves."""

    head: str
    """The signed note."""
    node: str
    """Who served it."""

    def note(self) -> Note:
        """Return the note."""
        return note.parse(self.head.encode())

    def checkpoint(self) -> Checkpoint:
        """Return what it says."""
        return checkpoint.parse(self.note().text)


Reported = Literal["", "went_back", "rollback"]


class Served(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is remembered of a node."""

    largest: Kept
    reported: Reported = ""
    """What was reported since it last served its largest head or a larger one."""


class State(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What outlives a restart."""

    branches: tuple[Kept, ...] = ()
    nodes: dict[str, Served] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    """An accepted head of this round."""

    kept: Kept
    note: Note
    accepted: Accepted
    policy: Policy

    @property
    def size(self) -> int:
        return self.accepted.checkpoint.size


class _Unknown(Exception):
    """Nobody gave the tiles."""


class Watch:
    """Looks at some nodes, once for each call of ``round``."""

    def __init__(
        self,
        nodes: Sequence[str],
        policies: Sequence[Policy],
        folder: Path,
        web: Web,
        *,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        """Take up what the folder holds; raise TallyError if that is damaged or of another log."""
        assert 1 <= len(nodes) <= NODES_MAX
        self._nodes = tuple(nodes)
        self._given = tuple(policies)
        self._origin = policies[0].logs[0].key.name
        self._folder = folder
        self._web = web
        self._now_s = now_s
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "policies").mkdir(exist_ok=True)
        self.findings = Findings(folder / "findings")
        self._followed = self._stored_policies()
        self._state = self._stored_state()
        self._shown: dict[str, Checkpoint] = {}
        """The head of each node in this round."""
        self._until = 0.0
        """When a round asks for no more."""
        self._wrong: dict[str, str] = {}
        """What is wrong with the tiles of a node's head in this round."""

    @property
    def policies(self) -> tuple[Policy, ...]:
        """Return whom this watch believes: those given, and those that they led to."""
        return self._given + self._followed

    def branches(self) -> tuple[Checkpoint, ...]:
        """Return the largest head of each branch; an honest log has one."""
        return tuple(branch.checkpoint() for branch in self._state.branches)

    def round(self) -> tuple[list[Event], list[Event]]:
        """Ask every node once; return what each one's head is, and what was found.

        Findings are durable when this returns, and so is what the next round goes on from.
        """
        self._wrong = {}
        self._until = time.monotonic() + ROUND_S
        before = self._state
        answers = self._web.get_each(
            [f"{url}/log/checkpoint" for url in self._nodes], NOTE_BYTES_MAX
        )
        events, heads = self._checked(answers)
        self._shown = {head.kept.node: head.accepted.checkpoint for head in heads}
        self._follow(heads)
        findings: list[Event] = []
        ascending = sorted(heads, key=lambda head: head.size)
        places = [self._place(head, findings) for head in ascending]
        for head, place in zip(ascending, places, strict=True):
            events[head.kept.node] = self._status(head, place, findings)
        if self._state != before:
            write_durably(self._folder / "state.json", msgspec.json.encode(self._state))
        return [events[url] for url in self._nodes], findings

    # --- which heads are to be believed ----------------------------------------------------------

    def _checked(self, answers: Sequence[bytes | NoAnswer]) -> tuple[dict[str, Event], list[_Head]]:
        """Return what there is to say of the nodes without a good head, and the good heads."""
        events: dict[str, Event] = {}
        heads: list[_Head] = []
        for url, answer in zip(self._nodes, answers, strict=True):
            if isinstance(answer, NoAnswer):
                events[url] = Event(code=Code.UNREACHABLE, node=url, sentence=f"it {answer}")
                continue
            try:
                heads.append(self._accepted(url, answer))
            except (MalformedText, NotAccepted) as error:
                events[url] = self._untrusted(url, answer, str(error))
        return events, heads

    def _accepted(self, url: str, data: bytes) -> _Head:
        """Return a head that a policy accepts; raise MalformedText or NotAccepted."""
        signed = note.parse(data)
        checkpoint.parse(signed.text)
        for candidate in reversed(self.policies):  # the newest first: it knows the most cosigners
            try:
                accepted = misbehaviour.accept_any((candidate,), signed)
            except NotAccepted:
                continue
            kept = Kept(head=data.decode(), node=url)
            return _Head(kept=kept, note=signed, accepted=accepted, policy=candidate)
        misbehaviour.accept_any(self.policies, signed)
        raise AssertionError("a policy accepts it after all")

    def _untrusted(self, url: str, data: bytes, reason: str) -> Event:
        try:
            unknown = self._unknown(note.parse(data))
        except MalformedText:
            unknown = []
        if unknown:
            reason += f"; cosigners that no policy names: {', '.join(unknown[:NAMES_MAX])}"
        sentence = f"its head is not to be trusted: {reason}"
        return Event(
            code=Code.UNTRUSTED, node=url, sentence=sentence, facts={"unknown_cosigners": unknown}
        )

    def _unknown(self, signed: Note) -> list[str]:
        """Return the names of this log's cosigners on a head that no policy knows.

        Nobody vouches for them: they are made fit for a terminal.
        """
        known = {
            (cosigner.key.name, cosigner.key.id)
            for trusted in self.policies
            for cosigner in trusted.witnesses
        }
        lines = {(signature.name, signature.key_id) for signature in signed.signatures}
        names = {name for name, _ in lines - known if name.startswith(f"{self._origin}/")}
        return sorted(name.encode("ascii", "backslashreplace").decode() for name in names)

    def _follow(self, heads: Sequence[_Head]) -> None:
        """Take over the policy of new validators, if a head speaks of them and a node proves it."""
        for head in heads:
            if not self._unknown(head.note) or time.monotonic() > self._until:
                continue
            try:
                made = following(head.policy, Published(self._web, head.kept.node))
            except (TallyError, ValueError):
                continue  # it is not proven yet, or not by this node; the next round asks again
            if made is not None and made not in self.policies:
                self._keep_policy(made)

    def _keep_policy(self, made: Policy) -> None:
        last = max(self._policy_paths(), default=Path("0"))
        path = self._folder / "policies" / f"{int(last.stem) + 1:06}.policy"
        write_durably(path, made.to_bytes())
        self._followed = (*self._followed, made)[-POLICIES_MAX:]

    # --- where a head belongs --------------------------------------------------------------------

    def _place(self, head: _Head, findings: list[Event]) -> int | None:
        """Return the branch that a head is of, which grows if need be; None if nobody can tell."""
        number, against, is_compared = self._branch_of(head)
        for other, path in against:
            self._find(Code.FORK, head, other, path, findings)
        if number is not None:
            if head.size > self._state.branches[number].checkpoint().size:
                self._set_branch(number, head.kept)
        elif is_compared and len(self._state.branches) < BRANCHES_MAX:
            number = len(self._state.branches)
            self._set_branch(number, head.kept)
        return number

    def _status(self, head: _Head, place: int | None, findings: list[Event]) -> Event:
        """Return what a node's head is, once all heads have their places."""
        branch = None if place is None else self._state.branches[place]
        backwards = self._went_back(head, branch, findings)
        url = head.kept.node
        if len(self._state.branches) > 1:
            return self._on_a_fork(head)
        if backwards is not None:
            return backwards
        if url in self._wrong:
            return self._event(Code.WRONG_TILES, head, self._wrong[url])
        return self._harmless(head, is_compared=branch is not None)

    def _branch_of(
        self, head: _Head
    ) -> tuple[int | None, list[tuple[Kept, tuple[bytes, ...]]], bool]:
        """Return the branch that a head is part of or extends; else those that it contradicts.

        With each of these comes the path that shows it. The last value is whether it could be
        compared with everything.
        """
        against: list[tuple[Kept, tuple[bytes, ...]]] = []
        is_compared = True
        for number, kept in enumerate(self._state.branches):
            try:
                path = self._contradiction(head.kept, kept)
            except _Unknown:
                is_compared = False
                continue
            if path is None:
                return number, [], True
            against.append((kept, path))
        return None, against, is_compared

    def _contradiction(self, claimed: Kept, branch: Kept) -> tuple[bytes, ...] | None:
        """Return the path that shows that two heads are of two trees (Y13.2), empty at one size.

        None if they are of one tree. Raises _Unknown.
        """
        small, large = sorted((claimed, branch), key=lambda kept: kept.checkpoint().size)
        first, second = small.checkpoint(), large.checkpoint()
        if first.size == second.size:
            return None if first.root == second.root else ()
        if first.size == 0:
            return None
        path, root = self._path(first.size, second, large.node)
        return None if root == first.root else tuple(path)

    def _path(self, size: int, head: Checkpoint, node: str) -> tuple[list[bytes], bytes]:
        """Return a path that makes a head's root, and the root that it makes at a smaller size.

        Tiles come from whoever has them, first from who served the head: what leads to the root is
        of its tree. Raises _Unknown.
        """
        others = [url for url, shown in self._shown.items() if shown.size >= head.size]
        for url in list(dict.fromkeys([node, *others, *self._nodes]))[:TREES_MAX]:
            try:
                path = tiles.prefix_path(
                    self._nodes_of(url, head.size), size1=size, size2=head.size
                )
                roots = merkle.prefix_roots(size1=size, size2=head.size, path=path)
            except NoAnswer:
                continue
            except MalformedText as error:
                roots, reason = None, f"its tiles are malformed: {error}"
            else:
                reason = f"its tiles do not lead to the head of {head.size} entries"
            if roots is not None and roots[1] == head.root:
                return path, roots[0]
            if self._shown.get(url) == head:
                self._wrong[url] = reason
        raise _Unknown

    def _nodes_of(self, url: str, size: int) -> TileNodes:
        """Return a reader of a tree's tiles whose time is limited."""
        until = min(time.monotonic() + COMPARE_S, self._until)

        def fetch(tile: Tile) -> bytes:
            if time.monotonic() > until:
                raise NoAnswer(f"has not served a few tiles within {COMPARE_S} s")
            return self._web.get(f"{url}/log/{tile.path()}", TILE_WIDTH * HASH_BYTES)

        return TileNodes(size=size, fetch=fetch)

    def _set_branch(self, number: int, kept: Kept) -> None:
        branches = (*self._state.branches[:number], kept, *self._state.branches[number + 1 :])
        self._state = msgspec.structs.replace(self._state, branches=branches)

    # --- heads that shrink -----------------------------------------------------------------------

    def _went_back(self, head: _Head, branch: Kept | None, findings: list[Event]) -> Event | None:
        """Return what is wrong with a head that is smaller than others; None if nothing is.

        It is reported once, until the node is forward again.
        """
        url = head.kept.node
        served = self._state.nodes.get(url)
        own = None if served is None else served.largest
        larger = [kept for kept in (own, branch) if kept and kept.checkpoint().size > head.size]
        signed = [kept for kept in larger if self._is_rollback(head, kept)]
        reported: Reported = "rollback" if signed else "went_back" if own in larger else ""
        largest = own if own is not None and own in larger else head.kept
        if own is not None and own.checkpoint().size == head.size:
            largest = own
        before = "" if served is None else served.reported
        self._remember(
            url,
            Served(
                largest=largest,
                reported="rollback" if reported and before == "rollback" else reported,
            ),
        )
        if not reported:
            return None
        code, other = Code(reported), (signed or larger)[0]
        if before not in (reported, "rollback"):
            self._find(code, head, other, (), findings)
        size = other.checkpoint().size
        if code is Code.ROLLBACK:
            return self._event(
                code, head, f"its head of {head.size} entries was cosigned after one of {size}"
            )
        return self._event(
            code, head, f"it serves a head of {head.size} entries, and has served one of {size}"
        )

    def _is_rollback(self, head: _Head, larger: Kept) -> bool:
        """Return whether some key cosigned this head after a larger one."""
        try:
            misbehaviour.verify(misbehaviour.of(head.note, larger.note()), self.policies)
        except (NothingProven, NotAccepted):
            return False
        return True

    def _remember(self, url: str, served: Served) -> None:
        if self._state.nodes.get(url) != served:
            nodes = {**self._state.nodes, url: served}
            if len(nodes) > 2 * NODES_MAX:  # others were watched before
                nodes = {node: nodes[node] for node in nodes if node in self._nodes}
            self._state = msgspec.structs.replace(self._state, nodes=nodes)

    # --- what is told ----------------------------------------------------------------------------

    def _harmless(self, head: _Head, *, is_compared: bool) -> Event:
        age = self._age_s(head)
        if age is None or age > HEAD_AGE_MAX_S:
            reported = "too few tell when they saw it" if age is None else f"cosigned {age} s ago"
            return self._event(
                Code.OLD,
                head,
                f"its head of {head.size} entries is an old one: {reported}, more than "
                f"{HEAD_AGE_MAX_S} s. Its node is down, or it hides what came since",
            )
        if not is_compared:
            return self._event(
                Code.UNCOMPARED, head, "nobody serves the tiles that would compare its head"
            )
        largest = max(branch.checkpoint().size for branch in self._state.branches)
        if head.size < largest:
            return self._event(Code.BEHIND, head, f"it is at {head.size} of {largest} entries")
        return self._event(Code.OK, head, f"its head has {head.size} entries")

    def _age_s(self, head: _Head) -> int | None:
        """Return how old a head is at the most; 0 where a policy asks for no cosigner."""
        if not head.policy.witnesses:
            return 0
        seen_s = policy.seen_at_s(head.policy, head.accepted)
        return None if seen_s is None else int(self._now_s()) - seen_s

    def _on_a_fork(self, head: _Head) -> Event:
        count = len(self._state.branches)
        return self._event(
            Code.FORK,
            head,
            f"the log has forked: {count} branches are known; this node's head has {head.size} "
            f"entries; the evidence is in {self._folder / 'findings'}",
        )

    def _event(self, code: Code, head: _Head, sentence: str) -> Event:
        return Event(code=code, node=head.kept.node, sentence=sentence, size=head.size)

    def _find(
        self, code: Code, head: _Head, other: Kept, path: Sequence[bytes], findings: list[Event]
    ) -> None:
        """Keep a finding, unless it is kept already."""
        made = misbehaviour.of(head.note, other.note(), path)
        name = _name(code, made)
        if self.findings.has(name):
            return
        event = self._finding(code, name, head, other, made)
        if not self.findings.record(name, document_of(event)):
            event = Event(
                code=code,
                node=event.node,
                sentence=f"{event.sentence}; there are too many findings to keep this one too",
                size=event.size,
            )
        findings.append(event)

    def _finding(
        self, code: Code, name: str, head: _Head, other: Kept, made: misbehaviour.Evidence
    ) -> Event:
        sizes = sorted((head.size, other.checkpoint().size))
        try:
            proven = misbehaviour.verify(made, self.policies)
            signers = [described(signer) for signer in proven.signers]
            assert proven.misbehaviour is (
                Misbehaviour.FORK if code is Code.FORK else Misbehaviour.ROLLBACK
            )
        except NothingProven:
            signers = []
            assert code is Code.WENT_BACK
        except NotAccepted:
            signers = []  # the other head was accepted by a policy that is not at hand any more
        match code:
            case Code.FORK if sizes[0] == sizes[1]:
                summary = f"fork: two heads of {sizes[0]} entries with other roots are signed"
            case Code.FORK:
                summary = (
                    f"fork: the {sizes[1]} entries of one signed head do not begin with the "
                    f"{sizes[0]} of another"
                )
            case Code.ROLLBACK:
                summary = (
                    f"rollback: a head of {sizes[0]} entries is cosigned after one of {sizes[1]}"
                )
            case _:
                summary = (
                    f"went back: this node served a head of {sizes[1]} entries, and now one of "
                    f"{sizes[0]}; no key contradicts itself by that"
                )
        names = ", ".join(
            dict.fromkeys(signer["name"] for signer in signers if signer["role"] != "log")
        )
        sentence = f"{summary}; {'cosigned both: ' + names if names else 'no cosigner signed both'}"
        return Event(
            code=code,
            node=head.kept.node,
            sentence=summary if code is Code.WENT_BACK else sentence,
            size=head.size,
            finding=name,
            facts={
                "origin": self._origin,
                "found": dates.moment(int(self._now_s()) * 1000),
                "other_node": other.node,
                "other_size": other.checkpoint().size,
                "signers": signers,
                "file": str(self.findings.evidence_path(name)),
                "evidence": made.to_bytes().decode(),
            },
        )

    # --- what is kept ----------------------------------------------------------------------------

    def _stored_policies(self) -> tuple[Policy, ...]:
        """Return the policies that were followed, oldest first; raise TallyError."""
        try:
            paths = self._policy_paths()[-POLICIES_MAX:]
            return tuple(policy.parse(_read(path, POLICY_BYTES_MAX)) for path in paths)
        except MalformedText as error:
            raise TallyError(f"{self._folder / 'policies'} is damaged: {error}") from None

    def _policy_paths(self) -> list[Path]:
        return sorted((self._folder / "policies").glob("[0-9]*[0-9].policy"))

    def _stored_state(self) -> State:
        path = self._folder / "state.json"
        try:
            state = msgspec.json.decode(_read(path, STATE_BYTES_MAX), type=State)
            origins = {branch.checkpoint().origin for branch in state.branches}
        except FileNotFoundError:
            return State()
        except (msgspec.MsgspecError, MalformedText) as error:
            raise TallyError(
                f"{path} is damaged: {error}; take it from a backup, or begin in another folder"
            ) from None
        if origins - {self._origin}:
            raise TallyError(f"{path} is about {', '.join(origins)}, not {self._origin}")
        return state


def document_of(event: Event) -> Document:
    """Return an event as programs read it."""
    return {
        "event": str(event.code),
        "node": event.node,
        "size": event.size,
        "sentence": event.sentence,
        "finding": event.finding,
        **event.facts,
    }


def described(signer: misbehaviour.Signer) -> Document:
    """Return a key that signed two heads, as programs read it."""
    is_log = signer.first_s is None and signer.second_s is None
    return {
        "role": "log" if is_log else "cosigner",
        "name": signer.name,
        "key": signer.key.text(),
        "smaller_s": signer.first_s,
        "larger_s": signer.second_s,
    }


def _name(code: Code, made: misbehaviour.Evidence) -> str:
    """Return a finding's name: that of the two trees, whoever signs their heads again."""
    digest = sha256((made.first.text + made.second.text).encode()).hex()
    return f"{code.replace('_', '-')}-{digest[:32]}"


def _read(path: Path, bytes_max: int) -> bytes:
    with path.open("rb") as file:
        return file.read(bytes_max + 1)
