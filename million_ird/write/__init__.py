"""The ledger to a data set on disk: parquet shards, card, report."""
