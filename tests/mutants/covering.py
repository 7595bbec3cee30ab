"""Which tests are run against the mutants of a module: those likely to notice, and quick, first."""

PAPER = tuple(
    f"tests/consensus/test_{name}.py"
    for name in ("paper", "votebook", "validators", "transcripts", "network", "model")
)
DRIVER = "tests/consensus/test_driver.py"
BOUNDS = "tests/consensus/test_bounds.py"
LIMITS = "tests/engines/test_bounds.py"

COVERING: dict[str, tuple[str, ...]] = {
    "consensus.certificate": ("tests/consensus/test_certificate.py", BOUNDS),
    "consensus.driver": (DRIVER, PAPER[0], *PAPER[3:5]),
    "consensus.evidence": ("tests/consensus/test_evidence.py", "tests/engines/test_evidence.py"),
    "consensus.forks": ("tests/consensus/test_forks.py",),
    "consensus.messages": (BOUNDS, "tests/consensus/test_certificate.py", DRIVER, *PAPER[:2]),
    "consensus.rounds": (PAPER[0], DRIVER, *PAPER[3:5]),
    "consensus.timeouts": (PAPER[2], BOUNDS, PAPER[3]),
    "consensus.validators": (PAPER[2], BOUNDS, *PAPER[:2], PAPER[3]),
    "consensus.votebook": (PAPER[1], BOUNDS, DRIVER, PAPER[0], *PAPER[3:5]),
    "node.__main__": ("tests/node/test_main.py",),
    "node.build": ("tests/node/test_config.py", "tests/node/test_commands.py"),
    "node.config": ("tests/node/test_config.py", "tests/engines/test_roster.py"),
    "node.cosigner": ("tests/node/test_cosigner.py",),
    "node.exports": ("tests/node/test_exports.py",),
    "node.fetch": ("tests/node/test_fetch.py",),
    "node.heads": ("tests/node/test_publisher.py", "tests/node/test_heads.py"),
    "node.host_side": ("tests/node/test_housekeeping.py", LIMITS),
    "node.inbox": ("tests/node/test_inbox.py", LIMITS),
    "node.lock": ("tests/node/test_commands.py",),
    "node.log_keeper": ("tests/node/test_log_keeper.py",),
    "node.port": ("tests/node/test_port.py", LIMITS),
    "node.runtime": ("tests/node/test_questions.py", LIMITS, "tests/node/test_runtime.py"),
    "node.scrub": ("tests/node/test_scrub.py",),
    "node.snapshot": ("tests/node/test_snapshot.py", "tests/node/test_fetch.py"),
    "node.stopped": ("tests/node/test_stopped.py", "tests/node/test_commands.py"),
    "node.verifying": ("tests/node/test_questions.py",),
}

BELOW: dict[str, tuple[str, ...]] = {
    "consensus": ("ledger.catalogue", "ledger.ledger", "ledger.store.lmdb_store", "hypothesis"),
    "node": (
        *("ledger.catalogue", "ledger.ledger", "ledger.store.lmdb_store", "hypothesis"),
        *("engines.builtin.kind", "engines.families", "httpx2", "prometheus_client"),
    ),
}
"""What no module of a package is needed for, by package: it is imported once for all mutants."""
