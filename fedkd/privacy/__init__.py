"""Privacy budgets: mechanisms, accounting, plans and the ledger."""
