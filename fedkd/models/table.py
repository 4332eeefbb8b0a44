"""The table of model families; a new one is a file and a line here."""

from typing import Annotated

from pydantic import BeforeValidator, SerializeAsAny

from fedkd.models.autoencoder import AutoencoderConfig
from fedkd.models.base import ModelConfig
from fedkd.models.cnn import CNNConfig
from fedkd.models.gru import GRUConfig
from fedkd.models.linear import LinearConfig
from fedkd.models.transformer import TransformerConfig
from fedkd.registry import Registry

MODELS = Registry[ModelConfig](
    "model",
    ModelConfig,
    LinearConfig,
    AutoencoderConfig,
    CNNConfig,
    GRUConfig,
    TransformerConfig,
)

AnyModel = Annotated[SerializeAsAny[ModelConfig], BeforeValidator(MODELS.parse("autoencoder"))]
"""A field that takes a family of the table, or a user's own as ``package.module:Class``."""

MaybeModel = Annotated[SerializeAsAny[ModelConfig] | None, BeforeValidator(MODELS.parse("cnn"))]
"""Such a field that may be left out."""
