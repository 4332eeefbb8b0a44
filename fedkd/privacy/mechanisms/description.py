"""The description of a privacy mechanism: who adds noise, who pays, who sees what, and the sentences that say so."""

from abc import ABC
from dataclasses import dataclass
from typing import ClassVar

from fedkd.privacy.guarantee import Guarantee


@dataclass(frozen=True)
class Way:
    """The way of an answer to the server, with a few words for each place; empty where nothing happens.

    Attributes
    ----------
    client, total, server, models : str
        The answer at the client, the sum, the server's part, and the promise to anyone who sees models.
    single : str
        A single answer, where the server sees it.
    attacked : str
        A sentence on the data of attacks on single answers.
    """

    client: str
    total: str
    server: str
    models: str
    single: str
    attacked: str = ""


class Description(ABC):
    """The facts about a mechanism that hold for all its releases, as attributes of its class.

    Notes
    -----
    Plans, accounts, checks and reports read these attributes:

    - ``name`` of the mode, and ``strength``: a client answers in its own weakest mode or a stronger one;
    - ``active``: whether anything is protected;
    - ``server_pays``, ``client_pays``: whose ledger pays for a release; a client pays exactly where it adds noise;
    - ``alone``: a single answer has all its noise; ``shared``: it has only a share, and must not be seen;
    - ``trust``: a plain sentence on who is trusted, and what is noised; ``afterword``: one more; ``way``: see ``Way``.
    """

    name: ClassVar[str]
    strength: ClassVar[int]
    active: ClassVar[bool] = True
    server_pays: ClassVar[bool] = False
    client_pays: ClassVar[bool] = False
    alone: ClassVar[bool] = False
    shared: ClassVar[bool] = False
    trust: ClassVar[str]
    afterword: ClassVar[str] = ""
    way: ClassVar[Way]

    @classmethod
    def unsaid(cls) -> list[str]:
        """Return the class attributes that a mechanism of one's own leaves out."""
        return [name for name in ("name", "strength", "trust", "way") if not hasattr(cls, name)]

    @classmethod
    def refusal(cls, guarantee: Guarantee) -> str | None:
        """Return why the mechanism cannot keep a guarantee; None where it can."""
        if guarantee.epsilon is None or guarantee.delta is None:
            return f"mode {cls.name} needs a budget; set privacy.epsilon=4 and privacy.delta=1e-5"
        return None

    @classmethod
    def sentence(cls, guarantee: Guarantee) -> str:
        """Return the plain sentences for log, report and ledger."""
        return (
            f"Privacy mode {cls.name}: epsilon {guarantee.epsilon:g} at delta {guarantee.delta:g} in total for one "
            f"{guarantee.unit} ({guarantee.adjacency}, no amplification by sampling); {cls.trust}."
            f"{cls.condition(guarantee)}{guarantee.parts_text}{cls.afterword}{guarantee.limit_text}"
        )

    @classmethod
    def condition(cls, guarantee: Guarantee) -> str:
        """Return a sentence on a condition of the guarantee, with a blank before it; empty without one."""
        del guarantee
        return ""
