"""Certificates and keys: read, found, made, shown, and when they end."""
