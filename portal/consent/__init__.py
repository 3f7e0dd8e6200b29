"""The ledger of consent, by person and purpose."""
