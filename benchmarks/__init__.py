"""Figures that a command prints: ratios measured in one run, never times that a test asserts."""
