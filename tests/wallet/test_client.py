"""The client: outcomes and failures become the exit codes that scripts build on."""

from itertools import islice
from typing import Any

import pytest

from desk.description import operation_from
from desk.documents import TransactionDocument
from desk.drafts import LIFE_MS, Draft
from desk.following import QUORUM_AGE_MAX_MS
from tally.exits import Exit, KeyTrouble, NotCertain, NotFound, Refused, TallyError, Unreachable
from tests.builders import NOON_MS, seed
from tests.wallet.fake_node import BreakOff, FakeNode, Reply, ok, problem, serving, unused_url
from wallet import client, signing
from wallet.client import ConnectionLost, NeverSent, NodeClient, Nodes, send_and_wait, wait_for
from wallet.profile import NodeAddress, Profile
from wallet.signing import drafted, open_signers, signed
from words.dates import moment

EXPIRES_AT = NOON_MS + LIFE_MS
WAIT_COMMAND = "tally tx wait"


def enrolment(profile: Profile, party: str = "firm-a") -> Draft:
    """Return the enrolment of a firm, signed by two registrars of Shanghai."""
    (owner,) = open_signers(profile, (f"{party}/owner",))
    description = {
        "kind": "party.enrol",
        "city": "shanghai",
        "party": party,
        "holder_class": "start_up",
        "name": party,
        "region": "310000",
        "control_group": None,
        "registration_tag": seed(party).hex(),
        "tag_epoch": 1,
        "keys": [
            {
                "key": owner.public_key.hex(),
                "person": "owner",
                "roles": [],
            }
        ],
        "threshold": 1,
        "proofs": [signing.proof_by(profile, owner, party).hex()],
    }
    unsigned = drafted(operation_from(description), profile, life_ms=LIFE_MS)
    return signed(unsigned, open_signers(profile, ("shanghai/officer-1", "shanghai/officer-2")))


def send(profile: Profile, **options: Any) -> TransactionDocument:
    """Send a firm's enrolment to the profile's nodes."""
    enrolled = enrolment(profile)
    return send_and_wait(
        Nodes(profile),
        enrolled.envelope(),
        transaction_id=enrolled.id,
        expires_at=enrolled.content.expires_at,
        **options,
    )


def with_nodes(profile: Profile, *urls: str) -> Profile:
    """Return the profile with other nodes."""
    return Profile(
        name=profile.name,
        network=profile.network,
        log_id=profile.log_id,
        nodes=tuple(NodeAddress(name=f"n{at}", url=url) for at, url in enumerate(urls)),
        dev_seed=profile.dev_seed,
    )


def test_a_transaction_that_becomes_final_is_returned(node: FakeNode, profile: Profile) -> None:
    document = send(profile)
    assert (document.status, document.code, document.kind) == ("final", "ok", "party.enrol")
    assert document.height == node.chain.ledger.last().height
    assert document.node.name == "shanghai"


def test_waiting_is_asked_of_the_node(node: FakeNode, profile: Profile) -> None:
    send(profile)
    assert node.paths("POST") == [f"/v1/transactions?wait=final&timeout_ms={client.ROUND_MS}"]


def test_a_pending_transaction_is_sent_again_until_it_is_final(
    node: FakeNode, profile: Profile
) -> None:
    node.submissions = [{"status": "pending"}, {"status": "pending"}]
    assert send(profile).status == "final"
    assert len(node.received) == 3
    assert node.received[0] == node.received[2], "the very same bytes, so that it stays one"


def test_sending_what_is_final_already_is_safe(node: FakeNode, profile: Profile) -> None:
    first, again = send(profile), send(profile)
    assert (again.id, again.status, again.sequence) == (first.id, "final", first.sequence)


def test_refused_exits_4_and_is_reported_at_once(node: FakeNode, profile: Profile) -> None:
    node.submissions = [{"status": "refused", "code": "voucher_exhausted", "values": {"asked": 5}}]
    with pytest.raises(Refused, match="voucher_exhausted") as caught:
        send(profile)
    assert caught.value.code is Exit.REFUSED
    assert caught.value.details["values"] == {"asked": 5}
    assert len(node.received) == 1


def test_expired_exits_4(node: FakeNode, profile: Profile) -> None:
    brief = {"name": "n", "height": 1, "time_ms": EXPIRES_AT, "record_hash": "", "quorum_age_ms": 0}
    node.submissions = [{"status": "expired", "code": "expired", "node": brief}]
    with pytest.raises(Refused, match="has expired: Block time has reached"):
        send(profile)


def test_not_waiting_leaves_a_pending_transaction_open(node: FakeNode, profile: Profile) -> None:
    node.submissions = [{"status": "pending"}]
    with pytest.raises(NotCertain, match=WAIT_COMMAND):
        send(profile, wait=False)
    assert node.paths("POST") == ["/v1/transactions"]


def test_patience_ends_as_not_certain(node: FakeNode, profile: Profile) -> None:
    node.submissions = [{"status": "pending"}] * 3
    with pytest.raises(NotCertain, match="pending"):
        send(profile, timeout_s=0)


@pytest.mark.parametrize("wait", [True, False])
def test_a_node_without_quorum_exits_7_with_a_plain_sentence(
    node: FakeNode, profile: Profile, wait: bool
) -> None:
    node.quorum_age_ms = 7_400
    with pytest.raises(Unreachable) as caught:
        send(profile, wait=wait)
    assert caught.value.code is Exit.UNREACHABLE
    assert caught.value.message.startswith(
        "shanghai has seen no quorum for 7 s; nothing can become final now. "
        f"Transaction {enrolment(profile).id} may still become final until 2026-01-31"
    )
    assert WAIT_COMMAND in caught.value.message


def test_with_the_quorum_back_it_goes_on(node: FakeNode, profile: Profile) -> None:
    node.quorum_age_ms = QUORUM_AGE_MAX_MS
    with pytest.raises(Unreachable):
        send(profile)
    node.quorum_age_ms = 0
    assert send(profile).status == "final"


def test_a_short_silence_is_not_a_lost_quorum(node: FakeNode, profile: Profile) -> None:
    short = QUORUM_AGE_MAX_MS - 1
    brief = {**node.document("")["node"], "quorum_age_ms": short}
    node.submissions = [{"status": "pending", "node": brief}]
    assert send(profile).status == "final"


def test_nobody_at_the_address_exits_7_and_nothing_was_sent(profile: Profile) -> None:
    with pytest.raises(NeverSent, match="nothing was sent") as caught:
        send(with_nodes(profile, unused_url()))
    assert caught.value.code is Exit.UNREACHABLE


def test_a_connection_lost_under_way_leaves_the_transaction_open(
    node: FakeNode, profile: Profile
) -> None:
    node.submissions = [BreakOff]
    with pytest.raises(Unreachable, match=WAIT_COMMAND) as caught:
        send(profile)
    assert caught.value.details["id"] == enrolment(profile).id


def test_a_lost_node_is_replaced_by_the_next(node: FakeNode, profile: Profile) -> None:
    with serving(FakeNode()) as dying:
        dying.submissions = [BreakOff]
        assert send(with_nodes(profile, unused_url(), dying.url, node.url)).status == "final"
        assert dying.received == node.received


def test_a_named_node_is_asked_alone(node: FakeNode, profile: Profile) -> None:
    nodes = Nodes(with_nodes(profile, node.url, unused_url()), only="n1")
    with pytest.raises(NeverSent):
        nodes.get_json("/v1/status")
    assert node.requests == []


def test_an_unknown_node_name_is_not_found(profile: Profile) -> None:
    with pytest.raises(NotFound, match="names no node wuhan; it has shanghai"):
        Nodes(profile, only="wuhan")


def test_a_node_without_room_is_asked_again(node: FakeNode, profile: Profile) -> None:
    busy = problem(429, "busy", "no room", retryable=True)
    node.submissions = [busy, busy]
    assert send(profile).status == "final"


def test_a_node_that_stays_busy_exits_7(node: FakeNode, profile: Profile) -> None:
    node.submissions = [problem(429, "busy", "no room", retryable=True)] * 50
    with pytest.raises(Unreachable, match="no room"):
        send(profile)
    assert len(node.received) == client.BUSY_MAX + 1


PROBLEMS = [
    (403, "key_unknown", Exit.KEY, Exit.KEY),
    (403, "bad_signature", Exit.KEY, Exit.KEY),
    (404, "not_found", Exit.NOT_FOUND, Exit.NOT_FOUND),
    (400, "not_canonical", Exit.REFUSED, Exit.USAGE),
    (400, "wrong_log", Exit.REFUSED, Exit.USAGE),
    (413, "too_large", Exit.REFUSED, Exit.USAGE),
    (405, "method_not_allowed", Exit.USAGE, Exit.USAGE),
    (429, "busy", Exit.UNREACHABLE, Exit.UNREACHABLE),
    (500, "internal", Exit.UNREACHABLE, Exit.UNREACHABLE),
    (503, "node_unreachable", Exit.UNREACHABLE, Exit.UNREACHABLE),
]


@pytest.mark.parametrize(
    ("status", "code", "written", "read"), PROBLEMS, ids=[code for _, code, _, _ in PROBLEMS]
)
def test_each_problem_has_its_exit_code(
    node: FakeNode, status: int, code: str, written: Exit, read: Exit
) -> None:
    asked = NodeClient(node.url)
    node.submissions = [problem(status, code, "the reason")]
    with pytest.raises(TallyError, match="the reason") as caught:
        asked.submit(b"bytes")
    assert (caught.value.code, caught.value.details["code"]) == (written, code)

    node.replies["/v1/parties/x"] = problem(status, code, "the reason")
    with pytest.raises(TallyError, match="the reason") as caught:
        asked.get_json("/v1/parties/x")
    assert caught.value.code == read


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, b"<html>hello</html>", "text/html"),
        Reply(200, b"[]"),
        Reply(200, b"\xff"),
        Reply(502, b"<html>bad gateway</html>", "text/html"),
    ],
    ids=["a page", "no object", "no text", "a proxy's failure"],
)
def test_an_answer_in_another_form_counts_as_no_answer(node: FakeNode, reply: Reply) -> None:
    node.replies["/v1/status"] = reply
    with pytest.raises(Unreachable):
        NodeClient(node.url).status()


def test_a_document_without_a_status_counts_as_no_answer(node: FakeNode) -> None:
    node.submissions = [ok({"id": "00"})]
    with pytest.raises(Unreachable, match="unknown form"):
        NodeClient(node.url).submit(b"bytes")


def test_fields_of_a_newer_node_are_left_out(node: FakeNode) -> None:
    node.submissions = [ok(node.document("ab", status="final", colour="red"))]
    assert NodeClient(node.url).submit(b"bytes").id == "ab"


def test_an_answer_without_end_is_cut_off(node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "ANSWER_BYTES_MAX", 1_000)
    node.replies["/v1/status"] = ok({"padding": "x" * 1_000})
    with pytest.raises(ConnectionLost, match="more than 1000 bytes"):
        NodeClient(node.url).status()


def test_a_node_that_never_answers_exits_7(node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "ANSWER_WITHIN_S", 0.2)
    with node.lock, pytest.raises(ConnectionLost):
        NodeClient(node.url).status()


def test_a_node_of_another_network_is_refused_before_anything_is_sent(
    node: FakeNode, profile: Profile
) -> None:
    other = Profile(
        name="other",
        network=profile.network,
        log_id="11" * 32,
        nodes=profile.nodes,
        dev_seed=profile.dev_seed,
    )
    with pytest.raises(TallyError, match="serves another log") as caught:
        send(other)
    assert caught.value.code is Exit.USAGE
    assert node.received == []


def test_the_log_is_checked_once(node: FakeNode, profile: Profile) -> None:
    nodes = Nodes(profile)
    nodes.get_json("/v1/status")
    nodes.get_json("/v1/status")
    assert [path for _, path, _ in node.requests].count("/v1/genesis") == 1


def test_a_list_is_read_page_by_page(node: FakeNode) -> None:
    node.page = 2
    found = [item["id"] for item in NodeClient(node.url).items("/v1/parties")]
    assert found == [
        "guian-hub",
        "guiyang",
        "henan-province",
        "shanghai",
        "shanghai-icc",
        "wuhan",
    ]
    assert len(node.paths("GET")) == 3


def test_a_filter_goes_with_every_page(node: FakeNode) -> None:
    node.page = 1
    items = NodeClient(node.url).items("/v1/parties", kind="data_centre", region=None)
    assert [item["id"] for item in items] == ["guian-hub", "shanghai-icc"]
    assert all("kind=data_centre" in path for path in node.paths("GET"))


def test_events_go_on_where_a_lost_connection_stopped(node: FakeNode, profile: Profile) -> None:
    node.events = [(number, "block", {"height": number}) for number in range(7)]
    node.events_a_connection = 3
    stream = Nodes(profile).events()
    found = [(event.sequence, event.data["height"]) for event in islice(stream, 7)]
    assert found == [(number, number) for number in range(7)]
    with pytest.raises(ConnectionLost, match="ended the event stream"):
        next(stream)
    asked = [headers.get("Last-Event-ID") for _, path, headers in node.requests if "even" in path]
    assert asked[:3] == [None, "2", "5"]


def test_events_start_after_a_sequence_number(node: FakeNode) -> None:
    node.events = [(number, "block", {"height": number}) for number in range(4)]
    stream = NodeClient(node.url).events(after=1)
    assert [next(stream).sequence, next(stream).sequence] == [2, 3]


def test_a_refused_stream_says_why(node: FakeNode) -> None:
    node.replies["/v1/events"] = problem(429, "too_many_streams", "at most 4 streams a client")
    with pytest.raises(Unreachable, match="at most 4 streams"):
        next(NodeClient(node.url).events())


def test_a_proxy_variable_reroutes_nothing(node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", unused_url())
    monkeypatch.setenv("ALL_PROXY", unused_url())
    assert NodeClient(node.url).status()["name"] == "shanghai"


def test_waiting_for_a_transaction_that_was_sent_before(node: FakeNode, profile: Profile) -> None:
    sent = send(profile)
    document = wait_for(Nodes(profile), sent.id, expires_at=None)
    assert (document.status, document.sequence) == ("final", sent.sequence)


def test_waiting_for_a_transaction_that_nobody_saw_is_not_found(profile: Profile) -> None:
    with pytest.raises(NotFound, match="no transaction"):
        wait_for(Nodes(profile), "00" * 32, expires_at=None)


def test_waiting_ends_for_certain_once_block_time_is_past_the_expiry(
    node: FakeNode, profile: Profile
) -> None:
    with pytest.raises(NotCertain):
        wait_for(Nodes(profile), "00" * 32, expires_at=NOON_MS + 60_000, timeout_s=0)
    node.chain.block(time_ms=NOON_MS + 60_000)
    with pytest.raises(Refused, match="expired"):
        wait_for(Nodes(profile), "00" * 32, expires_at=NOON_MS + 60_000)


def test_a_rehearsal_carries_no_signature_that_a_node_could_send_on(
    node: FakeNode, profile: Profile
) -> None:
    signed = enrolment(profile)
    keys = list(signed.signatures)
    raw = signed.rehearsal(keys)
    effect = NodeClient(node.url).simulate(raw)
    assert effect.code == "ok"
    with pytest.raises(KeyTrouble, match="signature"):
        NodeClient(node.url).submit(raw)


def test_moments_are_told_at_plus_eight() -> None:
    assert moment(0) == "1970-01-01 08:00:00 +08:00"


def test_a_document_shows_postings_as_the_node_told_them(node: FakeNode) -> None:
    posting = {"kind": "mint", "programme": "shanghai.compute", "serial": 1, "count": 2}
    node.submissions = [ok(node.document("ab", status="final", postings=[posting]))]
    document = NodeClient(node.url).submit(b"bytes")
    assert document.postings == (posting,)
