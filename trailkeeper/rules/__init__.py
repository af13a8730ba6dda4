"""Rules as data: read in Sigma's format, checked against their own examples."""
