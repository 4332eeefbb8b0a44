"""All protocols; a new one adds its name to the union."""

from typing import get_args

from fedkd.protocols.base import Protocol
from fedkd.protocols.fedavg import FedAvg
from fedkd.protocols.federated_ease import FederatedEASE
from fedkd.protocols.fedmd import FedMD
from fedkd.protocols.gnmax import GNMax
from fedkd.protocols.iterated import Iterated
from fedkd.protocols.local_only import LocalOnly
from fedkd.protocols.ptf_fedrec import PTFFedRec
from fedkd.protocols.residual import Residual

AnyProtocol = Residual | Iterated | FedMD | PTFFedRec | FederatedEASE | GNMax | FedAvg | LocalOnly
"""Told apart by ``name`` in a configuration."""

PROTOCOLS: tuple[type[Protocol], ...] = get_args(AnyProtocol)
