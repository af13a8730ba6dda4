"""The Management Activity API: what became available, in blobs, by content type (reference B 1)."""
