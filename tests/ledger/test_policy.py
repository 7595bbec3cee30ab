"""Trust policies (Y6): the file, who is enough, and what makes a checkpoint believable."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ledger.encoding import crypto, note, policy
from ledger.encoding.checkpoint import Checkpoint, MalformedCheckpoint
from ledger.encoding.note import BadSignature, KeyType, Note, Signature, VerifierKey
from ledger.encoding.policy import (
    DEFINITIONS_MAX,
    POLICY_BYTES_MAX,
    Group,
    Log,
    MalformedPolicy,
    Policy,
    QuorumMissing,
    UntrustedLog,
    Witness,
)
from tests.ledger import log_vectors
from tests.ledger.log_vectors import GO, ORIGIN, SIZE, seed

CHECKPOINT = Checkpoint(origin=ORIGIN, size=SIZE, root=bytes.fromhex(GO["root"]))
LOG = log_vectors.policy().logs[0]
COSIGNERS = log_vectors.policy().witnesses


def by_log(checkpoint: Checkpoint = CHECKPOINT) -> Signature:
    return note.sign(checkpoint.text(), name=checkpoint.origin, seed=seed(0))


def by_cosigner(number: int, time_s: int = 1_700_000_000) -> Signature:
    name = f"v{number}.example"
    return note.cosign(CHECKPOINT.text(), name=name, seed=seed(number), time_s=time_s)


def signed(*signatures: Signature) -> Note:
    return Note(text=CHECKPOINT.text(), signatures=signatures)


def key_line(number: int, kind: KeyType = KeyType.COSIGNATURE) -> str:
    public_key = crypto.public_key(number.to_bytes(32, "big"))
    return VerifierKey(name=f"k{number}", type=kind, public_key=public_key).text()


def witnesses(count: int) -> str:
    return "".join(f"witness w{number} {key_line(number)}\n" for number in range(count))


@pytest.mark.parametrize(
    "case", GO["policies"], ids=lambda case: case["policy"].replace("\n", "; ")
)
def test_the_verdict_on_every_set_of_cosigners_is_gos(case: dict[str, object]) -> None:
    trusted = log_vectors.policy(str(case["policy"]))
    enough = []
    for bits in range(16):
        chosen = [number for number in range(1, 5) if bits >> (number - 1) & 1]
        by_name = policy.is_quorum(trusted, {f"v{number}" for number in chosen})
        try:
            accepted = policy.accept(trusted, signed(by_log(), *map(by_cosigner, chosen)))
            assert [name for name, _ in accepted.cosigned] == [f"v{n}" for n in chosen]
            by_note = True
        except QuorumMissing:
            by_note = False
        assert by_name is by_note
        if by_note:
            enough.append(bits)
    assert enough == case["satisfied_by"]


def test_the_checkpoint_of_go_is_accepted() -> None:
    accepted = policy.accept(log_vectors.policy(), note.parse(GO["checkpoint"].encode()))
    assert (accepted.checkpoint, accepted.log) == (CHECKPOINT, LOG.key)
    assert len(accepted.cosigned) == 4


def test_two_thirds_and_one_of_the_validators_are_asked_for() -> None:
    for count, needed in ((1, 1), (2, 2), (3, 3), (4, 3), (6, 5), (7, 5), (31, 21)):
        known = [
            Witness(name=f"v{n}", key=note.parse_verifier_key(key_line(n))) for n in range(count)
        ]
        made = policy.validators_policy(logs=[LOG], witnesses=known)
        assert policy.is_quorum(made, {f"v{n}" for n in range(needed)})
        assert not policy.is_quorum(made, {f"v{n}" for n in range(needed - 1)})
        assert policy.parse(made.to_bytes()) == made


def test_strangers_count_nothing() -> None:
    trusted = log_vectors.policy("group g 2 v1 v2\nquorum g\n")
    stranger = note.cosign(CHECKPOINT.text(), name="v2.example", seed=seed(9), time_s=1)
    with pytest.raises(QuorumMissing) as refusal:
        policy.accept(trusted, signed(by_log(), by_cosigner(1), by_cosigner(1), stranger))
    assert (refusal.value.quorum, refusal.value.cosigned) == ("g", ("v1",))
    assert not policy.is_quorum(trusted, {"v1", "v3", "v4", "g", "none", "v2.example"})


def test_cosigners_without_the_log_are_not_enough() -> None:
    with pytest.raises(UntrustedLog):
        policy.accept(log_vectors.policy(), signed(*map(by_cosigner, range(1, 5))))
    stranger = note.sign(CHECKPOINT.text(), name=ORIGIN, seed=seed(9))
    with pytest.raises(UntrustedLog):
        policy.accept(log_vectors.policy("quorum none\n"), signed(stranger))


def test_a_log_speaks_only_for_its_own_origin() -> None:
    other = Checkpoint(origin="other.example", size=SIZE, root=CHECKPOINT.root)
    line = note.sign(other.text(), name=ORIGIN, seed=seed(0))
    with pytest.raises(UntrustedLog):
        policy.accept(
            log_vectors.policy("quorum none\n"), Note(text=other.text(), signatures=(line,))
        )


def test_one_bad_cosignature_of_a_known_witness_sinks_the_checkpoint() -> None:
    bad = by_cosigner(4)
    bad = Signature(name=bad.name, key_id=bad.key_id, value=bad.value[:-1] + b"\0")
    with pytest.raises(BadSignature):
        policy.accept(log_vectors.policy(), signed(by_log(), *map(by_cosigner, (1, 2, 3)), bad))


def test_signed_text_that_is_no_checkpoint_is_refused() -> None:
    line = note.sign("hello\n", name=ORIGIN, seed=seed(0))
    with pytest.raises(MalformedCheckpoint):
        policy.accept(log_vectors.policy("quorum none\n"), Note(text="hello\n", signatures=(line,)))


def test_during_a_change_of_keys_either_key_of_a_log_will_do() -> None:
    new = VerifierKey(name=ORIGIN, type=KeyType.ED25519, public_key=crypto.public_key(seed(7)))
    trusted = Policy(logs=(LOG, Log(key=new)), witnesses=(), groups=(), quorum="none")
    assert policy.parse(trusted.to_bytes()) == trusted
    by_new = note.sign(CHECKPOINT.text(), name=ORIGIN, seed=seed(7))
    for lines in ((by_log(),), (by_new,), (by_log(), by_new)):
        assert policy.accept(trusted, signed(*lines)).checkpoint == CHECKPOINT


def test_blanks_and_comments_are_ignored_and_names_are_octets() -> None:
    data = (
        b"# a comment \xff\n\n \t\n\t witness  K \t" + key_line(1).encode() + b"\turl:#x  \n"
        b"witness \xe2\x84\xaa " + key_line(2).encode() + b"\n"
        b"witness \xff\xfe " + key_line(3).encode() + b"\n"
        b"group all all K \xe2\x84\xaa \xff\xfe\nquorum all\n"
    )
    found = policy.parse(data)
    assert [one.url for one in found.witnesses] == ["url:#x", "", ""]
    assert found.groups == (
        Group(name="all", threshold=3, members=("K", "\u212a", "\udcff\udcfe")),
    )
    assert policy.parse(found.to_bytes()) == found


def test_the_quorum_may_stand_before_lines_that_it_does_not_name() -> None:
    assert policy.parse(f"quorum none\n{witnesses(1)}".encode()).quorum == "none"


W3 = witnesses(3)
MALFORMED = {
    "nothing": "",
    "no quorum": W3,
    "two quorums": f"{W3}quorum w0\nquorum w0\n",
    "a last line that does not end": f"{W3}quorum w0",
    "a quorum of nobody": f"{W3}quorum w9\n",
    "a quorum defined later": f"quorum w0\n{W3}",
    "a group of nobody": f"{W3}group g any\nquorum g\n",
    "a group of a stranger": f"{W3}group g any w0 w9\nquorum g\n",
    "a group of itself": f"{W3}group g any w0 g\nquorum g\n",
    "a group with none": f"{W3}group g any w0 none\nquorum g\n",
    "a member twice": f"{W3}group g 2 w0 w0\nquorum g\n",
    "a member of two groups": f"{W3}group g any w0\ngroup h any w0\nquorum g\n",
    "a threshold of none": f"{W3}group g 0 w0\nquorum g\n",
    "a threshold of more than all": f"{W3}group g 3 w0 w1\nquorum g\n",
    "a threshold that is no number": f"{W3}group g most w0\nquorum g\n",
    "a threshold with a leading zero": f"{W3}group g 01 w0\nquorum g\n",
    "a name twice": f"{W3}witness w0 {key_line(7)}\nquorum w0\n",
    "a group named as a witness": f"{W3}group w0 any w1\nquorum w0\n",
    "a witness named none": f"witness none {key_line(7)}\nquorum none\n",
    "a witness twice": f"{W3}witness again {key_line(0)}\nquorum w0\n",
    "a witness without a key": "witness w0\nquorum w0\n",
    "a witness with the key of a log": f"witness w {key_line(0, KeyType.ED25519)}\nquorum none\n",
    "a witness with two addresses": f"witness w0 {key_line(0)} a b\nquorum w0\n",
    "a log twice": f"log {key_line(0)}\nlog {key_line(0, KeyType.ED25519)}\nquorum none\n",
    "a log without a key": "log\nquorum none\n",
    "a key that is none": "log o+00000000+AAAA\nquorum none\n",
    "one key for log and witness": f"log {key_line(0)}\nwitness w {key_line(0)}\nquorum none\n",
    "an unknown word": "logs o\nquorum none\n",
    "a word in capitals": "QUORUM none\n",
    "two words after quorum": "quorum none none\n",
    "a carriage return": "quorum none\r\n",
    "a zero byte": "# \0\nquorum none\n",
    "a delete character": "# \x7f\nquorum none\n",
    "a comment behind a line": "quorum none # of course\n",
}


@pytest.mark.parametrize("case", MALFORMED)
def test_no_policy_is_read_from(case: str) -> None:
    with pytest.raises(MalformedPolicy):
        policy.parse(MALFORMED[case].encode())


def test_a_refusal_names_the_line() -> None:
    with pytest.raises(MalformedPolicy, match="line 4: a control character"):
        policy.parse(f"{W3}\v\nquorum w0\n".encode())


def test_a_policy_has_limits_of_each_kind_and_of_bytes() -> None:
    at_limit = witnesses(DEFINITIONS_MAX)
    logs = "".join(f"log {key_line(n, KeyType.ED25519)}\n" for n in range(DEFINITIONS_MAX))
    groups = "".join(f"group g{n} any w{n}\n" for n in range(DEFINITIONS_MAX))
    found = policy.parse(f"{at_limit}{logs}{groups}quorum none\n".encode())
    assert len(found.logs) == len(found.witnesses) == len(found.groups) == DEFINITIONS_MAX
    for one_more in (
        witnesses(DEFINITIONS_MAX + 1),
        f"{logs}log {key_line(DEFINITIONS_MAX, KeyType.ED25519)}\n",
        f"{at_limit}{groups}group more any g0\n",
    ):
        with pytest.raises(MalformedPolicy, match="more than"):
            policy.parse(f"{one_more}quorum none\n".encode())
    padding = b"#" * (POLICY_BYTES_MAX - 13) + b"\nquorum none\n"
    assert policy.parse(padding).quorum == "none"
    with pytest.raises(MalformedPolicy, match="at most"):
        policy.parse(b"#" + padding)


Tree = str | tuple[int, list["Tree"]]
"""A witness, or how many of which members."""


def truth(tree: Tree, present: frozenset[str]) -> bool:
    """Return the verdict by the words of the specification, on a nested group."""
    if isinstance(tree, str):
        return tree in present
    threshold, members = tree
    return sum(truth(member, present) for member in members) >= threshold


@given(some.data())
def test_nested_groups_mean_what_the_words_say(data: some.DataObject) -> None:
    names = [f"w{number}" for number in range(5)]
    lines, trees = witnesses(5), dict[str, Tree](zip(names, names, strict=True))
    free = list(names)
    for number in range(data.draw(some.integers(1, 4))):
        members = data.draw(some.lists(some.sampled_from(free), min_size=1, unique=True))
        threshold = data.draw(some.integers(1, len(members)))
        name = f"g{number}"
        lines += f"group {name} {threshold} {' '.join(members)}\n"
        trees[name] = (threshold, [trees[member] for member in members])
        free = [one for one in free if one not in members] + [name]
    quorum = data.draw(some.sampled_from(sorted(trees)))
    found = policy.parse(f"{lines}quorum {quorum}\n".encode())
    for chosen in itertools.product((False, True), repeat=5):
        present = frozenset(itertools.compress(names, chosen))
        assert policy.is_quorum(found, present) is truth(trees[quorum], present)


@given(some.binary(max_size=80))
def test_bytes_are_a_policy_or_malformed(data: bytes) -> None:
    try:
        found = policy.parse(data + b"\nquorum none\n")
    except MalformedPolicy:
        return
    assert found.quorum == "none"
