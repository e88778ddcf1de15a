"""The ledger: a table in the user's own database that says what was sent to whom."""
