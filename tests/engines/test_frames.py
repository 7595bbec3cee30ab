"""Frames, fragments and the send queue, byte by byte and limit by limit."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.builtin.p2p.frames import (
    FRAGMENT_BYTES_MAX,
    FRAME_BYTES_MAX,
    MESSAGE_BYTES_MAX,
    QUEUE_BYTES_MAX,
    QUEUE_MESSAGES_MAX,
    QUEUE_SYNC_MESSAGES_MAX,
    Assembler,
    Channel,
    Frame,
    FrameDecoder,
    PeerFault,
    Push,
    SendQueue,
    encode_frame,
)

CASES = 2_000


def frames_of(queue: SendQueue) -> list[Frame]:
    """Everything the queue still sends, as the peer decodes it."""
    decoder = FrameDecoder()
    frames: list[Frame] = []
    while (data := queue.next_frame()) is not None:
        frames += decoder.feed(data)
    return frames


def messages_of(frames: list[Frame]) -> list[tuple[Channel, bytes]]:
    assembler = Assembler()
    joined = [(frame.channel, assembler.add(frame)) for frame in frames]
    return [(channel, message) for channel, message in joined if message is not None]


def full_fragment(channel: Channel) -> Frame:
    return Frame(channel=channel, more_follows=True, payload=bytes(FRAGMENT_BYTES_MAX))


def test_a_frame_is_length_channel_flags_payload() -> None:
    assert encode_frame(Channel.VOTE, b"abc") == b"\x00\x00\x00\x05\x01\x00abc"
    assert encode_frame(Channel.SYNC, b"abc", more_follows=True) == b"\x00\x00\x00\x05\x04\x01abc"


def test_the_largest_frame_is_64_kib() -> None:
    frame = encode_frame(Channel.SYNC, bytes(FRAGMENT_BYTES_MAX))
    assert len(frame) == FRAME_BYTES_MAX == 65_536
    assert len(FrameDecoder().feed(frame)) == 1
    with pytest.raises(AssertionError):
        encode_frame(Channel.SYNC, bytes(FRAGMENT_BYTES_MAX + 1))


def test_a_stream_cut_at_any_byte_gives_the_same_frames() -> None:
    stream = encode_frame(Channel.VOTE, b"vote") + encode_frame(Channel.BLOCK, b"x" * 50)
    whole = FrameDecoder().feed(stream)
    assert [frame.payload for frame in whole] == [b"vote", b"x" * 50]
    for cut in range(len(stream) + 1):
        decoder = FrameDecoder()
        assert decoder.feed(stream[:cut]) + decoder.feed(stream[cut:]) == whole
    decoder = FrameDecoder()
    assert [frame for byte in stream for frame in decoder.feed(bytes((byte,)))] == whole


@pytest.mark.parametrize(
    ("claim", "header"),
    [
        ("frame of 4 bytes", b"\x00\x00\x00\x00"),
        ("frame of 6 bytes", b"\x00\x00\x00\x02"),
        ("frame of 65537 bytes", b"\x00\x00\xff\xfd"),
        ("frame of 4294967299 bytes", b"\xff\xff\xff\xff"),
        ("unknown channel 5", b"\x00\x00\xff\xfc\x05\x00"),
        ("unknown flags 2", b"\x00\x00\xff\xfc\x00\x02"),
    ],
)
def test_a_wrong_header_is_a_fault_before_its_payload_comes(claim: str, header: bytes) -> None:
    decoder = FrameDecoder()
    assert decoder.feed(header[:-1]) == []
    with pytest.raises(PeerFault, match=claim):
        decoder.feed(header[-1:])


def test_damaged_frames_are_frames_or_a_fault_and_never_another_error() -> None:
    dice = random.Random(7)
    faults = frames = 0
    for _ in range(CASES):
        data = bytearray(encode_frame(dice.choice(list(Channel)), dice.randbytes(20)) * 2)
        data[dice.randrange(len(data))] = dice.randrange(256)
        try:
            frames += len(FrameDecoder().feed(bytes(data)))
        except PeerFault:
            faults += 1
    assert faults > CASES // 10
    assert frames > CASES // 10


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(Channel), st.integers(1, 300_000)), max_size=6))
def test_what_is_pushed_comes_out_whole_and_in_order_per_channel(
    sizes: list[tuple[Channel, int]],
) -> None:
    queue = SendQueue()
    pushed = [
        (channel, bytes((index + 1,)) * min(size, MESSAGE_BYTES_MAX[channel]))
        for index, (channel, size) in enumerate(sizes)
    ]
    for channel, message in pushed:
        assert queue.push(channel, message) is Push.QUEUED
    assert messages_of(frames_of(queue)) == sorted(pushed, key=lambda pair: pair[0])


@pytest.mark.parametrize("channel", Channel)
def test_the_longest_message_of_each_channel_passes_and_one_byte_more_is_a_fault(
    channel: Channel,
) -> None:
    limit = MESSAGE_BYTES_MAX[channel]
    queue = SendQueue()
    assert queue.push(channel, bytes(limit)) is Push.QUEUED
    frames = frames_of(queue)
    assert messages_of(frames) == [(channel, bytes(limit))]
    with pytest.raises(AssertionError):
        queue.push(channel, bytes(limit + 1))
    assembler = Assembler()
    for frame in frames[:-1]:
        assembler.add(frame)
    last = Frame(channel=channel, more_follows=False, payload=frames[-1].payload + b"x")
    with pytest.raises(PeerFault, match="message of"):
        assembler.add(last)


@pytest.mark.parametrize("channel", [Channel.CONTROL, Channel.VOTE])
def test_a_vote_is_never_fragmented(channel: Channel) -> None:
    with pytest.raises(PeerFault):
        Assembler().add(full_fragment(channel))


def test_a_message_cannot_be_sent_in_small_fragments() -> None:
    small = Frame(channel=Channel.SYNC, more_follows=True, payload=b"x")
    with pytest.raises(PeerFault, match="not full"):
        Assembler().add(small)


def test_endless_fragments_are_a_fault_at_the_limit() -> None:
    assembler = Assembler()
    for _ in range(MESSAGE_BYTES_MAX[Channel.SYNC] // FRAGMENT_BYTES_MAX):
        assert assembler.add(full_fragment(Channel.SYNC)) is None
    with pytest.raises(PeerFault):
        assembler.add(full_fragment(Channel.SYNC))


def test_a_vote_waits_behind_one_frame_and_not_behind_a_message() -> None:
    queue = SendQueue()
    queue.push(Channel.SYNC, bytes(MESSAGE_BYTES_MAX[Channel.SYNC]))
    first = queue.next_frame()
    assert first is not None
    assert len(first) == FRAME_BYTES_MAX
    queue.push(Channel.VOTE, b"vote")
    assert queue.next_frame() == encode_frame(Channel.VOTE, b"vote")


def test_votes_go_before_blocks_before_transactions_before_sync() -> None:
    queue = SendQueue()
    for channel in reversed(Channel):
        queue.push(channel, b"message")
    assert [frame.channel for frame in frames_of(queue)] == list(Channel)


def test_too_many_votes_are_an_overflow() -> None:
    queue = SendQueue()
    for _ in range(QUEUE_MESSAGES_MAX):
        assert queue.push(Channel.VOTE, b"vote") is Push.QUEUED
    assert queue.push(Channel.VOTE, b"vote") is Push.OVERFLOW
    queue.next_frame()
    assert queue.push(Channel.VOTE, b"vote") is Push.QUEUED, "what is sent makes room"


def test_too_many_bytes_of_blocks_are_an_overflow() -> None:
    queue = SendQueue()
    chunk = bytes(MESSAGE_BYTES_MAX[Channel.BLOCK])
    for _ in range(QUEUE_BYTES_MAX // len(chunk)):
        assert queue.push(Channel.BLOCK, chunk) is Push.QUEUED
    assert queue.push(Channel.VOTE, b"v") is Push.OVERFLOW


def test_transactions_are_dropped_when_the_queue_is_full_and_give_way_to_votes() -> None:
    queue = SendQueue()
    batch = bytes(QUEUE_BYTES_MAX // 2)
    assert queue.push(Channel.TRANSACTIONS, batch) is Push.QUEUED
    assert queue.push(Channel.TRANSACTIONS, batch) is Push.QUEUED
    assert queue.push(Channel.TRANSACTIONS, b"t") is Push.DROPPED
    assert queue.push(Channel.VOTE, b"vote") is Push.QUEUED
    assert messages_of(frames_of(queue)) == [
        (Channel.VOTE, b"vote"),
        (Channel.TRANSACTIONS, batch),
    ]


def test_a_whole_block_fits_beside_a_transaction_batch_that_is_under_way() -> None:
    queue = SendQueue()
    queue.push(Channel.TRANSACTIONS, bytes(MESSAGE_BYTES_MAX[Channel.TRANSACTIONS]))
    queue.next_frame()
    chunks = 2 * 1024 * 1024 // MESSAGE_BYTES_MAX[Channel.BLOCK] + 1
    for _ in range(chunks):
        chunk = bytes(MESSAGE_BYTES_MAX[Channel.BLOCK])
        assert queue.push(Channel.BLOCK, chunk) is Push.QUEUED


def test_one_largest_sync_answer_fits_and_the_next_is_dropped_until_it_is_sent() -> None:
    queue = SendQueue()
    answer = bytes(MESSAGE_BYTES_MAX[Channel.SYNC])
    assert queue.push(Channel.SYNC, answer) is Push.QUEUED
    queue.next_frame()
    assert queue.push(Channel.SYNC, b"s") is Push.DROPPED, "what is under way still counts"
    assert queue.push(Channel.BLOCK, b"b") is Push.QUEUED, "sync has its own budget"
    frames_of(queue)
    assert queue.push(Channel.SYNC, answer) is Push.QUEUED


def test_too_many_sync_messages_are_dropped() -> None:
    queue = SendQueue()
    for _ in range(QUEUE_SYNC_MESSAGES_MAX):
        assert queue.push(Channel.SYNC, b"s") is Push.QUEUED
    assert queue.push(Channel.SYNC, b"s") is Push.DROPPED
    assert QUEUE_MESSAGES_MAX + QUEUE_SYNC_MESSAGES_MAX == 256
