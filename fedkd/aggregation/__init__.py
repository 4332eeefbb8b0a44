"""Aggregation: how clients' answers become the server's estimate of their sum."""
