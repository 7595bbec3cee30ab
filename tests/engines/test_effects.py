"""What the driver asks is done in its order, by whoever owns it: disk first, then the wire."""

import struct
from typing import get_args

import pytest

from consensus import effects
from consensus.effects import BroadcastProposal, BroadcastVote, Effect, Log
from consensus.inputs import ProposalReceived, VoteReceived
from consensus.messages import Vote, VoteKind
from engines.builtin import messages
from engines.builtin.engine import BuiltinEngine
from engines.builtin.messages import Blocks, ProposalMessage, VoteMessage
from engines.builtin.p2p.frames import Channel, PeerFault
from ledger.blocks import BlockInput, BlockRefused
from ledger.execute import BlockBuilder
from ledger.ledger import Ledger
from ledger.transactions import Transaction, parse
from tests.engines.peers import (
    FIRST,
    FOURTH,
    SECOND,
    Ports,
    decided_chain,
    first_block,
    offer,
    opening,
    proposal,
    tell,
    vote,
)


def watched(host: BuiltinEngine, ports: Ports) -> list[tuple[str, object]]:
    """Return what happens from now on, in its order: effects, syncs of the log, words sent."""
    happened: list[tuple[str, object]] = []
    actions = dict(host._machine._actions)

    def performed(kind: type[Effect]) -> object:
        def perform(effect: Effect) -> None:
            happened.append(("effect", effect))
            actions[kind](effect)

        return perform

    host._machine._actions = {kind: performed(kind) for kind in actions}  # type: ignore[misc]
    sync, broadcast = host._journal._wal.sync, ports.broadcast

    def synced() -> None:
        happened.append(("sync", None))
        sync()

    def said(channel: Channel, payload: bytes) -> None:
        happened.append(("sent", messages.decode_message(channel, payload)))
        broadcast(channel, payload)

    host._journal._wal.sync = synced  # type: ignore[method-assign]
    host._messenger._network.broadcast = said  # type: ignore[method-assign]
    return happened


def test_every_effect_has_somebody_who_performs_it() -> None:
    host = Ports().host()
    assert set(host._machine._actions) == set(get_args(effects.Effect))


def voted_in_two_rounds() -> list[tuple[str, object]]:
    """Return what a host does that prevotes, precommits, and proposes in the third round."""
    ports = Ports()
    host = ports.host()
    happened = watched(host, ports)
    header, body = first_block(FIRST)
    block = messages.block_id(header)
    offer(host, FIRST, proposal(FIRST, header, body), body)
    for who in (FIRST, SECOND):
        tell(host, who, VoteMessage(vote=vote(who, VoteKind.PREVOTE, (block,))))
    for who in (FIRST, SECOND, FOURTH):
        tell(host, who, VoteMessage(vote=vote(who, VoteKind.PRECOMMIT, (), round_=1)))
    ports.pass_time(10_000)
    return happened


def test_an_own_message_is_sent_after_the_log_of_it() -> None:
    happened = voted_in_two_rounds()
    asked = [effect for what, effect in happened if what == "effect"]
    sent = [message for what, message in happened if what == "sent"]
    checked = 0
    for position, effect in enumerate(asked):
        match effect:
            case BroadcastVote(vote=own):
                assert asked[position - 1] == Log(input=VoteReceived(vote=own))
                assert VoteMessage(vote=own) in sent
            case BroadcastProposal(proposal=own):
                logged = ProposalReceived(proposal=own, valid=True, timely=True)
                assert asked[position - 1] == Log(input=logged)
                assert ProposalMessage(proposal=own) in sent
            case _:
                continue
        checked += 1
    assert checked >= 4, "two votes, another in the next round, and a proposal"


def test_an_own_proposal_is_durable_before_anybody_sees_it() -> None:
    happened = voted_in_two_rounds()
    checked = 0
    for position, (what, effect) in enumerate(happened):
        if what == "effect" and isinstance(effect, BroadcastProposal):
            assert happened[position + 1][0] == "sync"
            assert happened[position + 2] == ("sent", ProposalMessage(proposal=effect.proposal))
            checked += 1
    assert checked


def test_nothing_is_sent_for_an_observer() -> None:
    ports = Ports(name="nobody")
    host = ports.host()
    happened = watched(host, ports)
    header, body = first_block(FIRST)
    offer(host, FIRST, proposal(FIRST, header, body), body)
    kinds = {type(effect) for what, effect in happened if what == "effect"}
    assert Log in kinds
    assert not kinds & {BroadcastVote, BroadcastProposal}


@pytest.mark.parametrize(
    "error", [LookupError, struct.error, BlockRefused, PeerFault, StopIteration]
)
def test_a_mistake_half_way_through_effects_is_a_broken_promise(error: type[Exception]) -> None:
    ports = Ports()
    host = ports.host()

    def broken(effect: Effect) -> None:
        raise error("a mistake")

    host._machine._actions = {**host._machine._actions, effects.SignVote: broken}
    header, body = first_block(FIRST)
    with pytest.raises(AssertionError, match="broke off") as stopped:
        offer(host, FIRST, proposal(FIRST, header, body), body)
    assert isinstance(stopped.value.__cause__, error)


def test_a_mistake_in_a_commit_is_a_broken_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    ports = Ports()
    host = ports.host()

    def broken(execution: object) -> None:
        raise KeyError("a mistake")

    monkeypatch.setattr(host.pool, "committed", broken)
    header, body = first_block(FIRST)
    block = messages.block_id(header)
    offer(host, FIRST, proposal(FIRST, header, body), body)
    precommits = [vote(who, VoteKind.PRECOMMIT, (block,)) for who in (FIRST, SECOND, FOURTH)]
    for precommit in precommits[:-1]:
        tell(host, FIRST, VoteMessage(vote=precommit))
    with pytest.raises(AssertionError, match="a commit broke off"):
        tell(host, FIRST, VoteMessage(vote=precommits[-1]))


def test_the_opening_holds() -> None:
    assert len(opening()) > 1, "else the blocks above say little"


def test_a_rule_that_breaks_off_at_one_transaction_costs_that_transaction_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ports = Ports()
    host = ports.host()
    transactions = [parse(raw) for raw in opening()]
    for transaction in transactions:
        host.on_transaction(transaction, own=False)
    bad = transactions[-1]
    apply = BlockBuilder.apply

    def broken(builder: BlockBuilder, transaction: Transaction) -> None:
        if transaction.id == bad.id:
            raise KeyError("a mistake in a rule")
        apply(builder, transaction)

    monkeypatch.setattr(BlockBuilder, "apply", broken)
    host._builder.build(0)
    assert host.status(bad.id).status == "unknown", "it left the pool"
    assert host.status(transactions[0].id).status != "unknown"
    assert not host.key.stopped


def test_a_certified_block_at_which_the_rules_break_off_stops_the_node(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = Ports().host()

    def broken(ledger: Ledger, block: BlockInput) -> None:
        raise KeyError("a mistake in a rule")

    chain = decided_chain(1)
    monkeypatch.setattr(Ledger, "execute", broken)
    with pytest.raises(AssertionError, match="does not hold on this state"):
        tell(host, SECOND, Blocks(blocks=tuple(chain)))


def test_an_early_message_that_breaks_off_ends_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    ports = Ports()
    host = ports.host()
    early = vote(FIRST, VoteKind.PREVOTE, (), height=2)
    tell(host, FIRST, VoteMessage(vote=early))

    def broken(vote: Vote) -> None:
        raise KeyError("a mistake")

    monkeypatch.setattr(host._votes, "on_vote", broken)
    tell(host, SECOND, Blocks(blocks=tuple(decided_chain(1))))
    assert host.height == 2
    assert not host.key.stopped
