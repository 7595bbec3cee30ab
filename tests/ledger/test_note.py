"""Signed notes and cosignatures (Y2, Y3): the specification's examples, Go's notes, bad bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ledger.encoding import crypto, note
from ledger.encoding.note import (
    KEY_NAME_BYTES_MAX,
    NOTE_BYTES_MAX,
    NOTE_TEXT_BYTES_MAX,
    SIGNATURES_MAX,
    BadSignature,
    KeyType,
    MalformedKey,
    MalformedNote,
    Note,
    NotSigned,
    Signature,
    VerifierKey,
)
from ledger.encoding.text import SIZE_MAX
from tests.ledger.log_vectors import GO, ORIGIN, seed

EXAMPLE_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
EXAMPLE = (
    "This is an example message.\n\n\u2014 example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXpp"
    "zi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
).encode()
"""The example of the signed-note specification."""
TEXT = "first\n\nthird\n"
LINE = note.sign(TEXT, name="here", seed=seed(0)).line()


def key(number: int = 0, *, name: str = "here", type_: KeyType = KeyType.ED25519) -> VerifierKey:
    return VerifierKey(name=name, type=type_, public_key=crypto.public_key(seed(number)))


def signed(*signatures: Signature, text: str = TEXT) -> Note:
    return Note(text=text, signatures=signatures)


def test_the_example_of_the_specification_verifies() -> None:
    found = note.parse(EXAMPLE)
    example = note.parse_verifier_key(EXAMPLE_KEY)
    assert (example.text(), found.to_bytes()) == (EXAMPLE_KEY, EXAMPLE)
    assert found.text == "This is an example message.\n"
    (verified,) = note.verify(found, [example])
    assert (verified.key, verified.time_s) == (example, None)


def test_any_change_of_the_example_is_refused() -> None:
    example = note.parse_verifier_key(EXAMPLE_KEY)
    believed = []
    for place in range(len(EXAMPLE)):
        changed = bytearray(EXAMPLE)
        changed[place] ^= 1
        try:
            note.verify(note.parse(bytes(changed)), [example])
        except (MalformedNote, BadSignature, NotSigned):
            continue
        believed.append(place)
    assert believed == []


def test_keys_are_published_as_go_publishes_them() -> None:
    assert key(0, name=ORIGIN).text() == GO["log_key"]
    cosigners = [key(n, name=f"v{n}.example", type_=KeyType.COSIGNATURE) for n in range(1, 5)]
    assert [one.text() for one in cosigners] == GO["cosigner_keys"]
    assert [note.parse_verifier_key(text) for text in GO["cosigner_keys"]] == cosigners


def test_a_checkpoint_signed_and_cosigned_by_go_is_made_here_byte_for_byte() -> None:
    data = GO["checkpoint"].encode()
    theirs = note.parse(data)
    keys = [note.parse_verifier_key(text) for text in (GO["log_key"], *GO["cosigner_keys"])]
    verified = note.verify(theirs, keys)
    assert [one.key for one in verified] == keys
    ours = [note.sign(theirs.text, name=ORIGIN, seed=seed(0))]
    for number, one in enumerate(verified[1:], start=1):
        assert one.time_s is not None
        made = note.cosign(theirs.text, name=one.key.name, seed=seed(number), time_s=one.time_s)
        ours.append(made)
    assert signed(*ours, text=theirs.text).to_bytes() == data


def test_the_text_may_have_empty_lines_and_ends_at_the_last() -> None:
    assert note.parse(f"{TEXT}\n{LINE}".encode()).text == TEXT


def test_a_cosignature_covers_its_time() -> None:
    cosigner = key(type_=KeyType.COSIGNATURE)
    line = note.cosign(TEXT, name="here", seed=seed(0), time_s=7)
    assert (len(line.key_id + line.value), line.value[:8]) == (76, (7).to_bytes(8, "big"))
    (verified,) = note.verify(signed(line), [cosigner])
    assert verified.time_s == 7
    later = Signature(
        name="here", key_id=line.key_id, value=(8).to_bytes(8, "big") + line.value[8:]
    )
    with pytest.raises(BadSignature):
        note.verify(signed(later), [cosigner])


def test_a_time_beyond_the_limit_is_refused_though_it_is_signed() -> None:
    cosigner = key(type_=KeyType.COSIGNATURE)
    at_limit = note.cosign(TEXT, name="here", seed=seed(0), time_s=SIZE_MAX)
    assert note.verify(signed(at_limit), [cosigner])[0].time_s == SIZE_MAX
    message = f"cosignature/v1\ntime {SIZE_MAX + 1}\n{TEXT}".encode()
    value = (SIZE_MAX + 1).to_bytes(8, "big") + crypto.sign(seed(0), message)
    with pytest.raises(BadSignature):
        note.verify(signed(Signature(name="here", key_id=cosigner.id, value=value)), [cosigner])


def test_a_plain_signature_is_no_cosignature_of_the_same_key() -> None:
    plain = note.sign(TEXT, name="here", seed=seed(0))
    with pytest.raises(NotSigned):
        note.verify(signed(plain), [key(type_=KeyType.COSIGNATURE)])
    disguised = Signature(
        name="here", key_id=key(type_=KeyType.COSIGNATURE).id, value=bytes(8) + plain.value
    )
    with pytest.raises(BadSignature):
        note.verify(signed(disguised), [key(type_=KeyType.COSIGNATURE)])


def test_lines_of_unknown_keys_are_ignored() -> None:
    ours = note.sign(TEXT, name="here", seed=seed(0))
    same_name = note.sign(TEXT, name="here", seed=seed(1))
    same_id = Signature(name="there", key_id=ours.key_id, value=b"x" * 2420)
    found = note.verify(signed(same_name, same_id, ours), [key()])
    assert [one.key for one in found] == [key()]


def test_one_bad_line_of_a_trusted_key_sinks_the_note_wherever_it_stands() -> None:
    good = note.sign(TEXT, name="here", seed=seed(0))
    bad = note.sign("other\n", name="here", seed=seed(0))
    for lines in ((bad,), (good, bad), (bad, good)):
        with pytest.raises(BadSignature) as refusal:
            note.verify(signed(*lines), [key()])
        assert refusal.value.key == key()


def test_a_key_counts_once_however_often_it_signs() -> None:
    lines = [note.cosign(TEXT, name="here", seed=seed(0), time_s=time_s) for time_s in (5, 6)]
    (verified,) = note.verify(signed(*lines), [key(type_=KeyType.COSIGNATURE)])
    assert verified.time_s == 5


NO_BREAK = "\u00a0"
MALFORMED = {
    "nothing": "",
    "no empty line": f"first\n{LINE}",
    "no signature": f"{TEXT}\n",
    "no last newline": f"{TEXT}\n{LINE[:-1]}",
    "an empty line at the end": f"{TEXT}\n{LINE}\n",
    "a carriage return": f"fir\rst\n\n{LINE}",
    "a zero byte": f"fir\0st\n\n{LINE}",
    "an encoded surrogate": f"fir\ud800st\n\n{LINE}",
    "a hyphen for the dash": f"{TEXT}\n-{LINE[1:]}",
    "no name": f"{TEXT}\n{LINE.replace('here', '')}",
    "a plus in a name": f"{TEXT}\n{LINE.replace('here', 'he+re')}",
    "a no-break space in a name": f"{TEXT}\n{LINE.replace('here', f'he{NO_BREAK}re')}",
    "base64 without its padding": f"{TEXT}\n{LINE.replace('=', '')}",
    "base64 with stray last bits": f"{TEXT}\n\u2014 here AAAAAAB=\n",
    "a signature of no bytes": f"{TEXT}\n\u2014 here AAAAAA==\n",
    "a word after the signature": f"{TEXT}\n{LINE[:-1]} more\n",
}


@pytest.mark.parametrize("case", MALFORMED)
def test_no_note_is_read_from(case: str) -> None:
    with pytest.raises(MalformedNote):
        note.parse(MALFORMED[case].encode(errors="surrogatepass"))


def test_a_note_has_limits_of_text_lines_and_bytes() -> None:
    assert len(note.parse(f"{TEXT}\n{LINE * SIGNATURES_MAX}".encode()).signatures) == SIGNATURES_MAX
    with pytest.raises(MalformedNote, match="signatures"):
        note.parse(f"{TEXT}\n{LINE * (SIGNATURES_MAX + 1)}".encode())
    longest = "x" * (NOTE_TEXT_BYTES_MAX - 1) + "\n"
    assert note.parse(f"{longest}\n{LINE}".encode()).text == longest
    with pytest.raises(MalformedNote, match="of text"):
        note.parse(f"x{longest}\n{LINE}".encode())
    with pytest.raises(MalformedNote, match="at most"):
        note.parse(bytes(NOTE_BYTES_MAX + 1))


def test_sixteen_signatures_of_five_kilobytes_are_read() -> None:
    large = [Signature(name=f"pq{n}", key_id=b"pqpq", value=bytes(5000)) for n in range(16)]
    assert note.parse(signed(*large).to_bytes()) == signed(*large)


def test_lines_can_stand_alone_as_a_witness_answers() -> None:
    lines = (
        note.cosign(TEXT, name="a", seed=seed(1), time_s=1),
        note.sign(TEXT, name="b", seed=seed(2)),
    )
    assert note.parse_signatures("".join(line.line() for line in lines).encode()) == lines
    with pytest.raises(MalformedNote):
        note.parse_signatures(b"")


MALFORMED_KEYS = {
    "another id": EXAMPLE_KEY.replace("530d903a", "530d903b"),
    "an id in capitals": EXAMPLE_KEY.replace("530d903a", "530D903A"),
    "no id": EXAMPLE_KEY.replace("+530d903a", ""),
    "a name with a space": EXAMPLE_KEY.replace(".com", " com"),
    "a name with a surrogate": EXAMPLE_KEY.replace("foo", "\ud800"),
    "a name that is too long": "x" * (KEY_NAME_BYTES_MAX + 1) + EXAMPLE_KEY[15:],
    "a longer key": EXAMPLE_KEY + "AAAA",
    "no key": "name+00000000+",
    "a type that we do not make": "name+00000000+" + "Bg" + "A" * 42,
}


@pytest.mark.parametrize("case", MALFORMED_KEYS)
def test_no_key_is_read_from(case: str) -> None:
    with pytest.raises(MalformedKey):
        note.parse_verifier_key(MALFORMED_KEYS[case])


NAMES = some.text(min_size=1, max_size=20).filter(note.is_key_name)
SIGNATURES = some.builds(
    Signature,
    name=NAMES,
    key_id=some.binary(min_size=4, max_size=4),
    value=some.binary(min_size=1, max_size=80),
)
TEXTS = some.text(some.characters(min_codepoint=32, exclude_categories=["Cs"]) | some.just("\n"))


@given(TEXTS, some.lists(SIGNATURES, min_size=1, max_size=4))
def test_what_is_written_is_read(text: str, signatures: list[Signature]) -> None:
    whole = Note(text=text + "\n", signatures=tuple(signatures))
    assert note.parse(whole.to_bytes()) == whole


@given(
    some.binary(max_size=60)
    | some.lists(some.sampled_from([LINE, LINE[:-1], "\n", "x"])).map("".join).map(str.encode)
)
def test_what_is_read_is_written_back(tail: bytes) -> None:
    data = f"{TEXT}\n{LINE}".encode() + tail
    try:
        found = note.parse(data)
    except MalformedNote:
        return
    assert found.to_bytes() == data


@given(NAMES, some.sampled_from(KeyType), some.binary(min_size=32, max_size=32))
def test_keys_are_read_as_they_are_written(name: str, type_: KeyType, public: bytes) -> None:
    written = VerifierKey(name=name, type=type_, public_key=public)
    assert note.parse_verifier_key(written.text()) == written
