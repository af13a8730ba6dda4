"""The Activity feed: its rules of time, its blobs, and how late they come."""
