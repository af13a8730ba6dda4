"""What is measured of records: how late they come, and whether both sources have them."""
