"""Pure words of the domain: standard library and `trailkeeper.errors` only, no input or output."""
