"""What people sign, without a key: drafts, signing sheets, rehearsal, and what becomes of them."""
