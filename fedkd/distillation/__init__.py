"""Losses and the centralised distillation pipeline."""
