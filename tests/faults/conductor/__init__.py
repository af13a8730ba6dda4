"""A seeded conductor over the service: it plans faults, plays them, and compares what is left.

`plan` makes a run from a seed, `faults` lists what can go wrong, `lives` is what a process of the
service does until it is killed, `stage` plays a run over the sandbox, `verdict` compares export and
mailbox with what the sandbox holds, `summary` counts. `python -m tests.faults.conductor` plays
many.

A *steps* run drives the real steps (ledger, lake, landing files, outbox, the sandbox over HTTPS,
SMTP) in forked processes that are really killed; its queue is a list in memory that doubles and
reorders. A *service* run adds Celery, beat and Redis, which are killed, emptied and cut off too.
"""
