"""What is kept: the ledger and the outbox in SQL, landing files, the lake."""
