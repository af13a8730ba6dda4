"""Rules over the lake: fields of records, conditions as column expressions, what was found."""
