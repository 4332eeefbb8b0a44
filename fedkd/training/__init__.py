"""Batched local training of many students."""
