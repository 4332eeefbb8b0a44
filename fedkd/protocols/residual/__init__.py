"""Residual distillation of a linear student, the default protocol, with the two questions that it can ask."""

from fedkd.protocols.residual.protocol import Residual

__all__ = ["Residual"]
