"""A second reader of the ledger, written from docs/spec alone: it shares no code with the first."""
