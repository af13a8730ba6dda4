"""Keeping a whole service alive on one machine: an embedded Redis and the child processes."""
