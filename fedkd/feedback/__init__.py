"""A feedback loop: recommendations produce clicks, clicks produce histories, histories change the models."""
