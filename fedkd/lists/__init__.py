"""What becomes of a model's scores before they are a list: steps for cold users, cold items and diversity."""
