"""The data sources that come with the package, a line each."""

from typing import Annotated

from pydantic import BeforeValidator, SerializeAsAny

from fedkd.data.formats.amazon_2014 import Amazon2014
from fedkd.data.formats.amazon_2018 import Amazon2018
from fedkd.data.formats.amazon_2023 import Amazon2023
from fedkd.data.formats.book_crossing import BookCrossing
from fedkd.data.formats.epinions import Epinions
from fedkd.data.formats.foursquare import Foursquare
from fedkd.data.formats.goodreads import Goodreads
from fedkd.data.formats.gowalla import Gowalla
from fedkd.data.formats.history_lines import HistoryLines
from fedkd.data.formats.json_objects import JSONLines
from fedkd.data.formats.lastfm_1k import LastFM1K
from fedkd.data.formats.lastfm_360k import LastFM360K
from fedkd.data.formats.lastfm_hetrec import LastFMHetRec
from fedkd.data.formats.lightgcn import LightGCN
from fedkd.data.formats.mind import MIND
from fedkd.data.formats.movielens_10m import MovieLens10M
from fedkd.data.formats.movielens_csv import MovieLensCSV
from fedkd.data.formats.ncf_ratings import NCFRatings
from fedkd.data.formats.netflix import Netflix
from fedkd.data.formats.npz import NPZ
from fedkd.data.formats.recbole import RecBole
from fedkd.data.formats.sasrec import SASRec
from fedkd.data.formats.selfrec import SELFRec
from fedkd.data.formats.steam import Steam
from fedkd.data.formats.yelp import Yelp
from fedkd.data.sources.base import Source
from fedkd.data.sources.check_ins import CheckIns
from fedkd.data.sources.movielens_1m import MovieLens1M
from fedkd.data.sources.movielens_100k import MovieLens100K
from fedkd.data.sources.scene import Scene
from fedkd.data.sources.synthetic import Synthetic
from fedkd.data.sources.table_file import TableFile
from fedkd.registry import Registry

SOURCES: Registry[Source] = Registry(
    "data source",
    Source,
    Synthetic,
    Scene,
    CheckIns,
    MovieLens100K,
    MovieLens1M,
    RecBole,
    LightGCN,
    SASRec,
    SELFRec,
    NCFRatings,
    MovieLens10M,
    MovieLensCSV,
    Amazon2014,
    Amazon2018,
    Amazon2023,
    BookCrossing,
    Foursquare,
    Goodreads,
    Gowalla,
    LastFM1K,
    LastFM360K,
    LastFMHetRec,
    MIND,
    Netflix,
    Steam,
    Yelp,
    Epinions,
    HistoryLines,
    TableFile,
    JSONLines,
    NPZ,
)

AnySource = Annotated[SerializeAsAny[Source], BeforeValidator(SOURCES.parse("synthetic"))]
"""A source in a configuration; synthetic data where none is named."""
