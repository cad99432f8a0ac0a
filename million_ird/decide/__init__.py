"""Numbers to verdicts: pure functions of ledger columns."""
