"""Everything that speaks to Microsoft 365: certificates, tokens, one HTTP session, the sources."""
