"""Steps between a model's scores and its lists: for cold users, cold items and diversity."""
