"""The documents are tested: what they name is there, and what must be named is."""
