"""The dataset card and the HTML report, made from the ledger."""
