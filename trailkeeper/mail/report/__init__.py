"""What a month's report says: facts gathered once, sections made of blocks, templates that draw."""
