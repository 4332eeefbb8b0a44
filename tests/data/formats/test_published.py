"""Every published form on made-up files: the histories, the content, the counts, and every compression."""

import bz2
import gzip
import io
import json
import lzma
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from fedkd.data.formats.content import MOST
from fedkd.data.formats.mind import MIND
from fedkd.data.formats.npz import NPZ
from fedkd.data.formats.recbole import RecBole
from fedkd.data.sources.table import SOURCES
from fedkd.errors import UserError
from fedkd.testing.sources import check_source
from tests.data.formats.samples import GENRES, PLAYS, SAMPLES, Sample, objects
from tests.data.sources.tiny import histories

each = pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: f"{sample.source}/{sample.first}")


def target(sample: Sample, folder: Path) -> Path:
    """Return what data.path names: the folder, or the file where the format says nothing of its name."""
    return folder / sample.first if sample.source in ("sasrec", "history-lines", "json-lines", "npz") else folder


@each
def test_a_format_is_read_as_it_is_described(sample: Sample, tmp_path: Path) -> None:
    loaded = check_source(sample.read_from(target(sample, sample.written(tmp_path))), len(PLAYS))
    data, catalogue = loaded.interactions, loaded.interactions.catalogue
    assert histories(data) == sample.histories
    assert loaded.dropped == {}
    assert (data.times is not None) == sample.times
    assert (catalogue.titles is not None) == ("titles" in sample.content)
    assert (len(catalogue.categories) > 0) == ("categories" in sample.content)
    assert (catalogue.years is not None) == ("years" in sample.content)


def by_name(source: str, first: str = "") -> Sample:
    return next(sample for sample in SAMPLES if sample.source == source and first in sample.first)


@pytest.mark.parametrize(
    ("source", "first", "title", "categories"),
    [
        ("movielens-10m", "", "Café {}: a tale, told ({})", ("Comedy", "Drama", "War")),
        ("movielens-csv", "", "Café {}: a tale, told ({})", ("Comedy", "Drama", "War")),
        ("amazon-2014", "reviews", "Café {}: a tale, told ({})", ("All, of it", "Comedy", "Drama")),
        ("amazon-2018", "Music_5", "Café {}: a tale, told ({})", ("All, of it", "Comedy", "Drama")),
        ("yelp", "", "Café {}", ("Comedy", "Drama", "Food")),
        ("steam", "steam", "Game's {}", ("Comedy", "Drama", "Indie")),
        ("goodreads", "json", "Café {}", ("Comedy", "Drama", "history, biography")),
        ("foursquare", "NYC", "", ("Café Comedy", "Café Drama")),
        ("foursquare", "TIST", "", ("Comedy", "Drama")),
        ("lastfm-hetrec", "", '"Café {}', ()),
        ("lastfm-360k", "", 'Café "{}', ()),
        ("lastfm-1k", "", "Song {}", ()),
        ("book-crossing", "", 'The "Café"; {}', ()),
        ("netflix", "", "Café, the {}", ()),
        ("mind", "", '"Café {}', ("Comedy", "Drama")),
        ("recbole", "", "Café {}", ("Comedy", "Drama", "War")),
    ],
)
def test_content_is_that_of_the_items(
    source: str, first: str, title: str, categories: tuple[str, ...], tmp_path: Path
) -> None:
    sample = by_name(source, first)
    catalogue = sample.read_from(sample.written(tmp_path)).load().interactions.catalogue
    ids = [id_ for history in sample.histories.values() for id_ in history]
    number = dict(zip(ids, (play.item for play in PLAYS), strict=True))
    items = [number[id_] for id_ in catalogue.ids.tolist()]
    assert catalogue.categories == categories
    if title:
        assert catalogue.titles is not None
        assert catalogue.titles.tolist() == [title.format(item, 1990 + item) for item in items]
    for name, genre in enumerate(GENRES):
        if genre in categories:
            column = catalogue.membership[:, categories.index(genre)]
            assert column.tolist() == [item % 2 == name for item in items]
    if "years" in sample.content:
        assert catalogue.years is not None
        unknown = 2 if source == "netflix" else None
        assert catalogue.years.tolist() == [0 if item == unknown else 1990 + item for item in items]


def zipped(data: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("inside", data)
    return packed.getvalue()


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".xz", ".zip", ""])
@pytest.mark.parametrize("source", ["yelp", "movielens-10m", "lightgcn", "netflix", "mind"])
def test_compressed_files_are_read_whatever_they_are_called(source: str, ending: str, tmp_path: Path) -> None:
    pack = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zip": zipped}.get(ending, gzip.compress)
    sample = by_name(source)
    packed = {f"{name}{ending}": pack(data) for name, data in sample.files.items()}
    folder = replace(sample, files=packed).written(tmp_path)
    assert histories(sample.read_from(folder).load().interactions) == sample.histories


TRAIN_AND_TEST = {
    "recbole": ("films.train.inter", "films.test.inter", "user_id:token\titem_id:token\n", "{}\t{}\n", ""),
    "ncf-ratings": ("a.train.rating", "a.test.rating", "", "{}\t{}\t5\t1400000000\n", "a.test.negative"),
    "selfrec": ("train.txt", "test.txt", "", "{} {} 1\n", ""),
    "amazon-2023": (
        "Toys.train.csv",
        "Toys.test.csv",
        "user_id,parent_asin,rating,timestamp\n",
        "{},{},5.0,1400000000000\n",
        "",
    ),
}


@pytest.mark.parametrize("source", TRAIN_AND_TEST)
def test_the_official_test_part_is_marked_and_the_files_are_said(source: str, tmp_path: Path) -> None:
    train, test, header, line, other = TRAIN_AND_TEST[source]
    (tmp_path / train).write_text(header + line.format(1, 7) + line.format(1, 8) + line.format(2, 7))
    (tmp_path / test).write_text(header + line.format(2, 8))
    if other:
        (tmp_path / other).write_text("(1,7)\t9\t10\n")
    loaded = SOURCES.find(source).model_validate({"path": tmp_path}).load()
    assert histories(loaded.interactions) == {"1": ["7", "8"], "2": ["7", "8"]}
    assert loaded.official_test is not None
    assert loaded.official_test.tolist() == [False, False, False, True]
    assert f"files {train}, {test}" in loaded.how


def test_several_data_sets_in_a_folder_are_not_mixed(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.inter").write_text("user_id:token\titem_id:token\n1\t2\n1\t3\n")
    with pytest.raises(UserError, match=r"several data sets \(one\.inter, two\.inter\); set data\.path to one"):
        RecBole(path=tmp_path).load()
    assert len(RecBole(path=tmp_path / "two.inter").load().interactions) == 2


def test_columns_of_recbole_can_be_others(tmp_path: Path) -> None:
    (tmp_path / "a.inter").write_text("user_id:token\tproduct_id:token\tplay_hours:float\n1\t2\t.5\n1\t3\t2\n")
    with pytest.raises(UserError, match="must have columns user_id, item_id; it has user_id, product_id, play_hours"):
        RecBole(path=tmp_path).load()
    source = RecBole(path=tmp_path, item_column="product_id", rating_column="play_hours", min_rating=0.1)
    assert len(source.load().interactions) == 2


def test_parts_of_a_data_set_have_the_same_columns(tmp_path: Path) -> None:
    (tmp_path / "a.train.inter").write_text("user_id:token\titem_id:token\ttimestamp:float\n1\t2\t5\n1\t3\t6\n")
    (tmp_path / "a.test.inter").write_text("user_id:token\titem_id:token\n1\t4\n")
    with pytest.raises(UserError, match=r"different columns \(item, time, user and item, user\); give both the same"):
        RecBole(path=tmp_path).load()


def test_the_csv_of_goodreads_has_ids_of_its_own(tmp_path: Path) -> None:
    folder = by_name("goodreads", "csv").written(tmp_path)
    (folder / "goodreads_books_poetry.json").write_text('{"book_id": "1", "title": "another book"}\n')
    assert by_name("goodreads", "csv").read_from(folder).load().interactions.catalogue.titles is None


def test_the_two_orders_of_amazons_columns_are_not_taken_for_each_other(tmp_path: Path) -> None:
    for source, other in (("amazon-2014", "amazon-2018"), ("amazon-2018", "amazon-2014")):
        path = by_name(source, ".csv").written(tmp_path / source) / by_name(source, ".csv").first
        with pytest.raises(UserError, match=f"does not look like {other} .* `fedkd data guess .*` says what it is"):
            SOURCES.find(other).model_validate({"path": path}).load()


def test_categories_beyond_the_commonest_are_left_out_and_said(tmp_path: Path) -> None:
    sample = by_name("yelp")
    shops = [json.loads(line) for line in sample.files["yelp_academic_dataset_business.json"].splitlines()]
    rare = [
        {**shop, "categories": ", ".join(f"{at} {n}" for n in range(20)) + ", Food"} for at, shop in enumerate(shops)
    ]
    files = {**sample.files, "yelp_academic_dataset_business.json": objects(rare)}
    loaded = sample.read_from(replace(sample, files=files).written(tmp_path)).load()
    assert len(loaded.interactions.catalogue.categories) == MOST
    assert "Food" in loaded.interactions.catalogue.categories
    assert loaded.dropped == {f"categories: the {MOST} of most items are kept, others": 20 * len(shops) + 1 - MOST}


def test_hints_of_the_table_reader_say_whose_keys_they_name(tmp_path: Path) -> None:
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,2,3,4,5\n")
    with pytest.raises(UserError, match=r"line 2 .*keys of data\.source=table"):
        SOURCES.find("movielens-csv").model_validate({"path": tmp_path}).load()


def test_a_source_that_is_not_downloaded_says_where_its_data_are() -> None:
    with pytest.raises(UserError, match=r"needs no download; .*https://msnews\.github\.io/"):
        MIND.fetch()


def test_what_a_matrix_stores_without_a_value_is_counted(tmp_path: Path) -> None:
    values = np.array([1.0, 0.0, np.nan, 2.0, 3.0])
    matrix = sparse.coo_array((values, ([0, 0, 0, 0, 1], [1, 2, 3, 4, 1])), shape=(2, 5))
    sparse.save_npz(tmp_path / "a.npz", matrix)
    loaded = check_source(NPZ(path=tmp_path / "a.npz", min_user_interactions=1), 5)
    assert histories(loaded.interactions) == {"0": ["1", "4"], "1": ["1"]}
    assert loaded.dropped == {"stored value that is zero or no number": 2}
