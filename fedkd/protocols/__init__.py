"""Federated distillation protocols, one per file."""
