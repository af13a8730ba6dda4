"""The Exchange admin API's search of the unified audit log."""
