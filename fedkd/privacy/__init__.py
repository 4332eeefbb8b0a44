"""Budgets that are planned, spent and enforced: mechanisms, accounting, ledger, secure sums."""
