"""Keeps the public log: makes a node's heads, has them cosigned, cosigns others' (spec Y10, Y11).

Whatever reads the store or the cosigner's record runs on the host thread; whatever talks to others
runs on the event loop. What an engine decides is none of its business.
"""

import asyncio
import errno
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ledger.encoding import codec, note, policy
from ledger.encoding.checkpoint import Checkpoint
from ledger.encoding.merkle import Frontier
from ledger.encoding.note import BadSignature, Signature, VerifierKey
from ledger.encoding.policy import QuorumMissing, UntrustedLog
from ledger.encoding.text import MalformedText
from ledger.encoding.tiles import Tile
from ledger.entries import ClosingEntry, decode_entry
from ledger.execute import Execution
from ledger.ledger import Ledger
from ledger.rules.validators import ValidatorSetRecord
from ledger.store.lmdb_store import LmdbStore
from ledger.store.rows import BlockRow
from ledger.trust import cosigner_key, cosigners, log_key, policy_of
from node.clock import SystemClock
from node.config import NodeConfig
from node.cosigner import Answer, Cosigner, proof_between, root_at
from node.heads import Head as PublicHead
from node.heads import HeadFollower, Publisher, Target

WITNESS_PATH = "/witness"
"""Where an API process takes heads to be cosigned."""

REFRESH_US = 30_000_000
"""A head that is no older than this and a little is not an old one (Y10.3)."""
BLOCKS_BACK_MAX = 10_000
"""Blocks that are looked at for the last head, at a start."""

OnHost = Callable[[Callable[[], tuple[bytes, ...]]], Awaitable[tuple[bytes, ...]]]


@dataclass(frozen=True, slots=True)
class StoredTree:
    """The log as far as a store has it."""

    store: LmdbStore

    @property
    def size(self) -> int:
        """Return how many entries are committed."""
        head = self.store.head()
        return 0 if head is None else head.log_size

    def tile(self, tile: Tile) -> bytes:
        """Return a tile within that size."""
        data = self.store.snapshot.tile(tile)
        assert data is not None, f"the store lacks {tile.path()}"
        return data


class LogKeeper:
    """One node's part in publishing the log."""

    def __init__(
        self, config: NodeConfig, *, cosigner: Cosigner, log_seeds: tuple[bytes, ...]
    ) -> None:
        """``log_seeds`` are those of the log key in force, the next and the former one (Y10.4)."""
        self._config = config
        self._cosigner = cosigner
        self._log_seeds = log_seeds
        self._clock = SystemClock()
        self._loop = asyncio.get_running_loop()
        self._publisher: Publisher | None = None
        self._follower: HeadFollower | None = None
        self._last: Checkpoint | None = None
        """The newest head of this log."""
        self._made_us: int | None = None
        """When it was last brought to the others, by a clock that never steps."""
        self.clock_is_off = False
        """Whether the others say so: readers go by a cosignature's time, so none is made."""
        self._sure_at: int | None = None
        """The height that was being decided when it was known where this node had been."""
        self._known_set = 0
        """From which height those act whom the loop knows as cosigners."""
        self._ledger: Ledger
        self._tree: StoredTree

    # --- on the host thread ----------------------------------------------------------------------

    def open(self, ledger: Ledger, store: LmdbStore) -> None:
        """Take up the store; call once, before anything else on the host thread."""
        self._ledger = ledger
        self._tree = StoredTree(store)
        self._last = self._find_last_head()
        self.look_around(self._config)

    def look_around(self, config: NodeConfig) -> None:
        """Tell the loop who may cosign, after the configuration or the validators changed."""
        self._config = config
        validators = self._validators()
        self._known_set = validators.from_height
        targets = self._targets(validators)
        urls = tuple(peer.url for peer in config.peers if peer.url)
        publishes = any(validator.party == config.party for validator in validators.validators)
        self._loop.call_soon_threadsafe(self._set_targets, targets, () if publishes else urls)

    def committed(self, execution: Execution, *, knows_where_it_was: bool) -> None:
        """Publish a head if the block has one (Y10.3)."""
        head = execution.head
        if self._validators().from_height != self._known_set:
            self.look_around(self._config)
        self._end_silence_if_sure(knows_where_it_was)
        if execution.record is not None and execution.record.state_root:
            root = Frontier(head.log_size, head.log_peaks).root()
            self._last = Checkpoint(origin=self._cosigner.origin, size=head.log_size, root=root)
            self._make_head()

    def refresh(self) -> None:
        """Have the last head cosigned anew if it was long ago (Y10.3); call now and then."""
        if self._made_us is None or self._clock.monotonic_us() - self._made_us >= REFRESH_US:
            self._make_head()

    def _end_silence_if_sure(self, knows_where_it_was: bool) -> None:
        """Let the cosigner speak once what it may have cosigned before is behind it (Y11.4)."""
        if not self._cosigner.is_silent:
            return
        head = self._ledger.last()
        if self._sure_at is None and knows_where_it_was:
            self._sure_at = head.height + 1
        if self._sure_at is not None and head.height >= self._sure_at:
            self._cosigner.end_silence(head.log_size)
            self._made_us = None  # what it says of the last head need not wait

    def _make_head(self) -> None:
        """Have the last head published, or cosigned anew."""
        if self._last is not None:
            self._made_us = self._clock.monotonic_us()
            head = self._public_head(self._last)
            self._loop.call_soon_threadsafe(self._publish, head)

    def _find_last_head(self) -> Checkpoint | None:
        """Return the newest head that the store has."""
        for _, row in self._tree.store.snapshot.scan(
            "blocks", prefix=b"", start=b"", limit=BLOCKS_BACK_MAX, reverse=True
        ):
            block: BlockRow = codec.decode_stored(BlockRow, row)
            if block.log_size <= 1:
                break
            (raw,) = self._tree.store.snapshot.entries(block.log_size - 1, block.log_size)
            entry = decode_entry(raw)
            if isinstance(entry, ClosingEntry) and entry.record.state_root:
                return Checkpoint(
                    origin=self._cosigner.origin,
                    size=block.log_size,
                    root=root_at(self._tree, block.log_size),
                )
        return None

    def cosign(self, body: bytes, *, knows_where_it_was: bool) -> Answer:
        """Answer a request to cosign (Y11.2)."""
        self._end_silence_if_sure(knows_where_it_was)
        if self.clock_is_off:
            return Answer(status=503, text="this node's clock is not that of the others")
        height = self._ledger.last().height + 1
        origin = self._cosigner.origin
        log_keys = {
            log_key(origin, validator.keys.log): None
            for ahead in (0, 1)
            for validator in self._ledger.validators(height + ahead).validators
        }
        try:
            return self._cosigner.add(
                body, tree=self._tree, log_keys=log_keys, time_s=self._now_s()
            )
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            return Answer(status=503, text="there is no room for the record of what is cosigned")

    def _now_s(self) -> int:
        return self._clock.wall_ms() // 1_000

    def _public_head(self, made: Checkpoint) -> PublicHead:
        log_lines = tuple(
            note.sign(made.text(), name=made.origin, seed=seed) for seed in self._log_seeds
        )
        return PublicHead(
            checkpoint=made,
            log_lines=log_lines,
            own_lines=self._own_lines(made),
            cosigners=self._cosigner_keys(),
        )

    def _own_lines(self, head: Checkpoint) -> tuple[Signature, ...]:
        """Cosign an own head, if this node is a cosigner and its record allows it."""
        own = self._cosigner.keys()
        if self.clock_is_off or not any(key in own for key in self._cosigner_keys()):
            return ()
        try:
            return self._cosigner.own(head, tree=self._tree, time_s=self._now_s())
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            return ()  # as a full disk does not stop a node, but its votes (N6.12)

    def _own_if_it_is(self, data: bytes) -> tuple[bytes, ...]:
        """Return a head that others publish if it is one of the own log, else nothing (Y10.6)."""
        try:
            signed = note.parse(data)
            trusted = policy_of(self._cosigner.origin, self._validators())
            claimed = policy.accept(trusted, signed).checkpoint
        except (MalformedText, BadSignature, UntrustedLog, QuorumMissing):
            return ()
        tree = self._tree
        is_own = claimed.size <= tree.size and root_at(tree, claimed.size) == claimed.root
        return (data,) if is_own else ()

    def _validators(self) -> ValidatorSetRecord:
        """Return who acts at the height after the last block."""
        return self._ledger.validators(self._ledger.last().height + 1)

    def _cosigner_keys(self) -> tuple[VerifierKey, ...]:
        origin = self._cosigner.origin
        return tuple(
            cosigner_key(origin, validator.party, validator.keys.cosigner)
            for validator in cosigners(self._validators())
        )

    def _targets(self, validators: ValidatorSetRecord) -> tuple[Target, ...]:
        origin = self._cosigner.origin
        urls = {peer.party: peer.url for peer in self._config.peers if peer.url}
        members = (
            Target(
                name=validator.party,
                key=cosigner_key(origin, validator.party, validator.keys.cosigner),
                url=urls[validator.party] + WITNESS_PATH,
            )
            for validator in cosigners(validators)
            if validator.party in urls and validator.party != self._config.party
        )
        witnesses = (
            Target(name=witness.key.name, key=witness.key, url=witness.url)
            for witness in self._config.witnesses
        )
        return (*members, *witnesses)

    # --- on the loop -----------------------------------------------------------------------------

    def start(self, on_host: OnHost) -> None:
        """Begin to publish; ``on_host`` runs a job on the host thread."""

        async def between(old_size: int, size: int) -> tuple[bytes, ...]:
            return await on_host(lambda: proof_between(self._tree, old_size, size))

        async def own(data: bytes) -> tuple[bytes, ...]:
            return await on_host(lambda: self._own_if_it_is(data))

        self._publisher = Publisher(self._config.checkpoint, between, self._now_s)
        self._follower = HeadFollower(self._config.checkpoint, own)

    async def stop(self) -> None:
        """End what is under way."""
        if self._publisher is not None and self._follower is not None:
            await self._publisher.stop()
            await self._follower.stop()

    def _set_targets(self, targets: tuple[Target, ...], followed: tuple[str, ...]) -> None:
        if self._publisher is not None and self._follower is not None:
            self._publisher.set_targets(targets)
            self._follower.set_urls(followed)

    def _publish(self, head: PublicHead) -> None:
        if self._publisher is not None:
            self._publisher.publish(head)
