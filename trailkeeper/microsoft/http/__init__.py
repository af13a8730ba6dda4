"""One HTTPS session for all of Microsoft: bounded, host-checked, its failures named."""
