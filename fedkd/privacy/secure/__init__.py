"""Secure sums."""

from fedkd.privacy.secure.errors import RefusedError, SumError
from fedkd.privacy.secure.keys import Directory, Identity
from fedkd.privacy.secure.party import Party
from fedkd.privacy.secure.sums import SecureSum

__all__ = ["Directory", "Identity", "Party", "RefusedError", "SecureSum", "SumError"]
