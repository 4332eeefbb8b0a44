"""The data sources that come with the package, a line each."""

from typing import Annotated

from pydantic import BeforeValidator, SerializeAsAny

from fedkd.data.sources.base import Source
from fedkd.data.sources.lightgcn import LightGCN
from fedkd.data.sources.movielens_1m import MovieLens1M
from fedkd.data.sources.movielens_100k import MovieLens100K
from fedkd.data.sources.synthetic import Synthetic
from fedkd.data.sources.table_file import TableFile
from fedkd.registry import Registry

SOURCES: Registry[Source] = Registry(
    "data source",
    Source,
    Synthetic,
    MovieLens100K,
    MovieLens1M,
    LightGCN,
    TableFile,
)

AnySource = Annotated[SerializeAsAny[Source], BeforeValidator(SOURCES.parse("synthetic"))]
"""A source in a configuration; synthetic data where none is named."""
