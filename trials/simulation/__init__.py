"""Whole networks of the real host, ledger, log and signer, from one seed on virtual time."""
