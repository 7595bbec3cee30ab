"""Threads that decode types for the first time at once must not bring the process down."""

import subprocess
import sys

PROCESSES = 12
CHILD = """
import sys, threading
from ledger.encoding import codec
from ledger.entries import Entry
from ledger.genesis import Genesis
from ledger.rules.parties import Party
from ledger.rules.programmes import Terms
from ledger.transactions import Body, Envelope

sys.setswitchinterval(1e-6)
TYPES = [Body, Entry, Genesis, Party, Terms, Envelope]
start = threading.Barrier(8)

def decode_all(first):
    start.wait()
    for type_ in TYPES[first:] + TYPES[:first]:
        try:
            codec.decode(type_, b"\\x90", 100)
        except codec.NotCanonical:
            pass

threads = [threading.Thread(target=decode_all, args=(index % 6,)) for index in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("done")
"""


def test_first_decodes_in_many_threads_do_not_crash() -> None:
    survived = 0
    for _ in range(PROCESSES):
        child = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True)
        assert child.returncode == 0, f"exit {child.returncode}: {child.stderr}"
        survived += child.stdout == "done\n"
    assert survived == PROCESSES
