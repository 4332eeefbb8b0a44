"""Distillation: a teacher's targets, the phases of training, and the closed forms of linear models."""
