"""What this machine does: finality under load, replay, proofs."""
