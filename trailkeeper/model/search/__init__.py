"""Proving windows of the Exchange audit search: five concepts, and one walk over them."""
