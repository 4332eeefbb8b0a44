"""The table of all protocols; a new one is a file and a line here."""

from typing import Annotated

from pydantic import BeforeValidator, SerializeAsAny

from fedkd.protocols.base import Protocol
from fedkd.protocols.bidirectional import Bidirectional
from fedkd.protocols.ds_fl import DSFL
from fedkd.protocols.fedavg import FedAvg
from fedkd.protocols.feddf import FedDF
from fedkd.protocols.federated_ease import FederatedEASE
from fedkd.protocols.fedgkt import FedGKT
from fedkd.protocols.fedmd import FedMD
from fedkd.protocols.fedmd_server import FedMDServer
from fedkd.protocols.gnmax import GNMax
from fedkd.protocols.iterated import Iterated
from fedkd.protocols.local_only import LocalOnly
from fedkd.protocols.ptf_fedrec import PTFFedRec
from fedkd.protocols.residual import Residual
from fedkd.registry import Registry

PROTOCOLS: Registry[Protocol] = Registry(
    "algorithm",
    Protocol,
    Residual,
    Iterated,
    FedMD,
    FedMDServer,
    DSFL,
    FedDF,
    FedGKT,
    Bidirectional,
    PTFFedRec,
    FederatedEASE,
    GNMax,
    FedAvg,
    LocalOnly,
)

AnyProtocol = Annotated[SerializeAsAny[Protocol], BeforeValidator(PROTOCOLS.parse("residual"))]
"""A protocol in a configuration; residual distillation where none is named."""
