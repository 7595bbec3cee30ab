"""Mutants of consensus and node that no test notices, by name, with the reason."""

ROUND_NUMBER = "a round number that nothing else knows: one more or less is as good"
ADDEND = "an addend of a bound that has 4 KiB to spare"
SET_TOGETHER = "both are set by one call, so each says what both say"
ONE_STEP_MORE = "it costs one step more, which finds nothing left"

SURVIVORS: dict[str, str] = {
    "consensus.driver: STEPS_MAX +1": ROUND_NUMBER,
    "consensus.driver: STEPS_MAX -1": ROUND_NUMBER,
    "consensus.evidence: EVIDENCE_BYTES_MAX +1": ADDEND,
    "consensus.evidence: EVIDENCE_BYTES_MAX -1": ADDEND,
    "consensus.rounds._vote: without `state.own_key is None` in `state.own_key is None "
    "or not state.validators.power_of(state.own_key)`": "no key has no power either",
    "node.heads.Publisher._serve: without `head is None` in `head is None or head is done`": (
        "before the first head nothing is done: none is the one that is"
    ),
    "node.heads.Publisher._take: without `time_s is None` in `time_s is None or "
    "abs(time_s - self._now_s()) > TIME_OFF_MAX_S`": "a cosigner's line always has a time",
    "node.heads.Publisher._write_again: without `self._written is not None` in "
    "`self._written is not None and self._written is self._head`": (
        "it is asked for only after something was written"
    ),
    "node.host_side.Housekeeping._look_after_store: `usage.free * 100 < usage.total * "
    "DISK_FREE_PERCENT_MIN` off by -1": "both sides are multiples of five",
    "node.lock: _ID_BYTES_MAX +1": "no process id is as long",
    "node.lock: _ID_BYTES_MAX -1": "no process id is as long",
    "node.log_keeper.LogKeeper._find_last_head: `block.log_size <= 1` takes in or leaves "
    "out its end": "the row of genesis is the last one there is, and has no root",
    "node.log_keeper.LogKeeper._find_last_head: without `isinstance(entry, "
    "ClosingEntry)` in `isinstance(entry, ClosingEntry) and entry.record.state_root`": (
        "a block after genesis ends with its record"
    ),
    "node.log_keeper.LogKeeper._set_targets: without `self._follower is not None` in "
    "`self._publisher is not None and self._follower is not None`": SET_TOGETHER,
    "node.log_keeper.LogKeeper._set_targets: without `self._publisher is not None` in "
    "`self._publisher is not None and self._follower is not None`": SET_TOGETHER,
    "node.log_keeper.LogKeeper.stop: without `self._follower is not None` in "
    "`self._publisher is not None and self._follower is not None`": SET_TOGETHER,
    "node.log_keeper.LogKeeper.stop: without `self._publisher is not None` in "
    "`self._publisher is not None and self._follower is not None`": SET_TOGETHER,
    "node.log_keeper: BLOCKS_BACK_MAX +1": ROUND_NUMBER,
    "node.log_keeper: BLOCKS_BACK_MAX -1": ROUND_NUMBER,
    "node.port.PortClient.close: without `self._reader_task.cancel()`": (
        "the closed connection ends it"
    ),
    "node.runtime.Submissions._verify: `self._loop.time() - self._verified_at < "
    "GATHER_S` takes in or leaves out its end": "no clock stands at that very moment",
    "node.scrub._blocks: `rows_left > 0` off by +1": (
        "how much is read in one step is a matter of speed"
    ),
    "node.scrub._blocks: without `rows_left > 0` in `rows_left > 0 and height <= "
    "head.height`": "how much is read in one step is a matter of speed",
    "node.scrub._blocks: `rows_left > 0` takes in or leaves out its end": (
        "how much is read in one step is a matter of speed"
    ),
    "node.scrub._check_current: without `value == newest` in `value is not None and "
    "value == newest`": "`_states` finds the same",
    "node.scrub._check_current: without `value is not None` in `value is not None and "
    "value == newest`": "a record has a version, so nothing is not its last one",
    "node.scrub._check_row: `row.first_sequence == begins <= row.log_size` off by +1 at 1": (
        "a row that ends before it begins ends with no record of its height"
    ),
    "node.scrub._log: `len(rows) < ROWS_A_STEP` off by -1": ONE_STEP_MORE,
    "node.scrub._pages: `len(rows) < ROWS_A_STEP // 4` off by -1": ONE_STEP_MORE,
    "node.scrub._records: `len(rows) < ROWS_A_STEP` off by -1": ONE_STEP_MORE,
    "node.scrub._records: without `key != known` in `known and key != known`": (
        "a record is looked at with each of its versions instead of once"
    ),
    "node.scrub._states: `len(rows) < ROWS_A_STEP` off by -1": ONE_STEP_MORE,
    "node.snapshot._Index.same_block: `later - earlier >= BLOCK_ENTRIES_MAX` takes in or "
    "leaves out its end": "it spares a look at the table, which says the same",
    "node.snapshot._Making._keep: without `is_last` in `is_last and self._rooted is not None`": (
        "the leaf is written with each version until the root, and the last one stays"
    ),
    "node.snapshot._Making._on_commit: `commit.height < height` takes in or leaves out its end": (
        "the height of the record itself is told apart before"
    ),
    "node.snapshot._Making._take_log: `at > root.height` takes in or leaves out its end": (
        "the end of a height whose root was named is kept for nothing"
    ),
    "node.snapshot._Making._prove_blocks: `count > 0` off by +1": (
        "an act writes two records or more, and no test ends a ledger with one alone"
    ),
    "node.snapshot: BLOCK_LOG_BYTES_MAX +1": ROUND_NUMBER,
    "node.snapshot: BLOCK_LOG_BYTES_MAX -1": ROUND_NUMBER,
    "node.verifying: without `1` in `os.cpu_count() or 1`": (
        "how many threads verify is a matter of speed"
    ),
    "node.verifying: without `os.cpu_count()` in `os.cpu_count() or 1`": (
        "how many threads verify is a matter of speed"
    ),
}
