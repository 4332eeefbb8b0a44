"""Made-up files of every published form, all of the same twenty interactions."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from scipy import sparse

from fedkd.data.sources.base import Source
from fedkd.data.sources.table import SOURCES

START = 1_400_000_000


class Play(NamedTuple):
    """Who took what, how they liked it, and when."""

    user: int
    item: int
    rating: int
    time: int


PLAYS = [
    Play(user, (2 * user + step) % 7, 1 + step, START + 86_400 * (5 * user + step))
    for user in range(5)
    for step in range(4)
]


def when(time: int, form: str) -> str:
    return datetime.fromtimestamp(time, UTC).strftime(form)


@dataclass(frozen=True)
class Sample:
    """The files of a format, and what is in them.

    Attributes
    ----------
    source : str
        The name of the source.
    files : dict of str to bytes
        By name; the first one holds interactions.
    histories : dict of str to list of str
        The item ids of every user, in time order.
    content : tuple of str
        Which of titles, categories and years its items have.
    options : dict
        Options that the source needs.
    times : bool
        Whether the format has times.
    """

    source: str
    files: dict[str, bytes]
    histories: dict[str, list[str]]
    content: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    times: bool = True

    def written(self, folder: Path) -> Path:
        """Write the files into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in self.files.items():
            (folder / name).write_bytes(data)
        return folder

    def read_from(self, path: Path) -> Source:
        """Return the source that reads a file or folder."""
        return SOURCES.find(self.source).model_validate({"path": path, **self.options})

    @property
    def first(self) -> str:
        """The name of the file with interactions."""
        return next(iter(self.files))


def histories(user: Callable[[int], str], item: Callable[[int], str]) -> dict[str, list[str]]:
    """Return the histories of the plays, with a format's ids."""
    found: dict[str, list[str]] = {}
    for play in PLAYS:
        found.setdefault(user(play.user), []).append(item(play.item))
    return found


def number(value: int) -> str:
    return str(value + 1)


def text(lines: list[str], encoding: str = "utf-8") -> bytes:
    return "".join(f"{line}\n" for line in lines).encode(encoding)


def objects(rows: list[dict[str, Any]], write: Callable[[Any], str] = json.dumps) -> bytes:
    return text([write(row) for row in rows])


def film(item: int) -> str:
    return f"Café {item}: a tale, told ({1990 + item})"


ITEMS = sorted({play.item for play in PLAYS})
GENRES = ["Drama", "Comedy"]


def movielens() -> list[Sample]:
    known, genres = histories(number, number), [f"{GENRES[item % 2]}|War" for item in ITEMS]
    dat = [f"{p.user + 1}::{p.item + 1}::{p.rating}.5::{p.time}" for p in PLAYS]
    movies = [f"{item + 1}::{film(item)}::{genre}" for item, genre in zip(ITEMS, genres, strict=True)]
    csv = ["userId,movieId,rating,timestamp", *(f"{p.user + 1},{p.item + 1},{p.rating}.0,{p.time}" for p in PLAYS)]
    quoted = [f'{item + 1},"{film(item)}",{genre}' for item, genre in zip(ITEMS, genres, strict=True)]
    content = ("titles", "categories", "years")
    return [
        Sample("movielens-10m", {"ratings.dat": text(dat), "movies.dat": text(movies)}, known, content),
        Sample(
            "movielens-csv",
            {"ratings.csv": text(csv), "movies.csv": text(["movieId,title,genres", *quoted])},
            known,
            content,
        ),
    ]


def reviewer(user: int) -> str:
    return f"A3SGXH7AUHU8G{user}"


def asin(item: int) -> str:
    return f"B000GKXY4{item}"


def amazon() -> list[Sample]:
    known = histories(reviewer, asin)
    old = [
        {
            "reviewerID": reviewer(p.user),
            "asin": asin(p.item),
            "overall": float(p.rating),
            "unixReviewTime": p.time,
            "reviewText": 'private words, "quoted"',
        }
        for p in PLAYS
    ]
    new = [
        {
            "user_id": reviewer(p.user),
            "parent_asin": asin(p.item),
            "asin": "B0",
            "rating": float(p.rating),
            "timestamp": 1000 * p.time,
        }
        for p in PLAYS
    ]
    meta = [
        {"asin": asin(item), "title": film(item), "categories": [["All, of it", GENRES[item % 2]]]} for item in ITEMS
    ]
    csv_2014 = [f"{reviewer(p.user)},{asin(p.item)},{p.rating}.0,{p.time}" for p in PLAYS]
    csv_2018 = [f"{asin(p.item)},{reviewer(p.user)},{p.rating}.0,{p.time}" for p in PLAYS]
    csv_2023 = [f"{reviewer(p.user)},{asin(p.item)},{p.rating}.0,{p.time}000" for p in PLAYS]
    header = "user_id,parent_asin,rating,timestamp"
    titled = ("titles", "categories")
    return [
        Sample("amazon-2014", {"ratings_Music.csv": text(csv_2014)}, known),
        Sample(
            "amazon-2014", {"reviews_Music_5.json": objects(old), "meta_Music.json": objects(meta, repr)}, known, titled
        ),
        Sample("amazon-2018", {"Music.csv": text(csv_2018)}, known),
        Sample(
            "amazon-2018",
            {
                "Music_5.json": objects(old),
                "meta_Music.json": objects([{**row, "category": row["categories"][0]} for row in meta]),
            },
            known,
            titled,
        ),
        Sample("amazon-2023", {"Music.csv": text([header, *csv_2023])}, known),
        Sample(
            "amazon-2023",
            {
                "Music.jsonl": objects(new),
                "meta_Music.jsonl": objects([{**row, "parent_asin": row["asin"]} for row in meta]),
            },
            known,
            titled,
        ),
    ]


def key(prefix: str) -> Callable[[int], str]:
    return lambda value: f"{prefix}-{value}xQ"


def reviews() -> list[Sample]:
    user, item = key("u"), key("b")
    yelp = [
        {
            "review_id": f"r{n}",
            "user_id": user(p.user),
            "business_id": item(p.item),
            "stars": 1.0 * p.rating,
            "date": when(p.time, "%Y-%m-%d %H:%M:%S"),
            "text": "private\nwords",
        }
        for n, p in enumerate(PLAYS)
    ]
    shops = [{"business_id": item(i), "name": f"Café {i}", "categories": f"{GENRES[i % 2]}, Food"} for i in ITEMS]
    steam = [
        {
            "username": user(p.user),
            "product_id": number(p.item),
            "date": when(p.time, "%Y-%m-%d"),
            "text": 'it\'s "fun"',
            "early_access": False,
        }
        for p in PLAYS
    ]
    games = [
        {
            "id": number(i),
            "app_name": f"Game's {i}",
            "genres": [GENRES[i % 2], "Indie"],
            "release_date": f"{1990 + i}-01-02",
        }
        for i in ITEMS
    ]
    owned = [
        {
            "user_id": user(u),
            "items_count": 4,
            "items": [{"item_id": number(p.item), "item_name": f"Game's {p.item}"} for p in PLAYS if p.user == u],
        }
        for u in range(5)
    ]
    shelf = [
        {
            "user_id": user(p.user),
            "book_id": number(p.item),
            "is_read": True,
            "rating": p.rating,
            "date_added": when(p.time, "%a %b %d %H:%M:%S +0000 %Y"),
        }
        for p in PLAYS
    ]
    books = [{"book_id": number(i), "title": f"Café {i}", "publication_year": str(1990 + i)} for i in ITEMS]
    genres = [{"book_id": number(i), "genres": {"history, biography": 3, GENRES[i % 2]: 1}} for i in ITEMS]
    csv = ["user_id,book_id,is_read,rating,is_reviewed", *(f"{p.user + 1},{p.item + 1},1,{p.rating},0" for p in PLAYS)]
    everything = ("titles", "categories", "years")

    def old(row: Any) -> str:
        return repr(row).replace("{'", "{u'").replace(", '", ", u'").replace(": '", ": u'")

    return [
        Sample(
            "yelp",
            {"yelp_academic_dataset_review.json": objects(yelp), "yelp_academic_dataset_business.json": objects(shops)},
            histories(user, item),
            ("titles", "categories"),
        ),
        Sample(
            "steam",
            {"steam_reviews.json": objects(steam, old), "steam_games.json": objects(games, old)},
            histories(user, number),
            everything,
        ),
        Sample(
            "steam",
            {"australian_users_items.json": objects(owned, repr)},
            histories(user, number),
            ("titles",),
            times=False,
        ),
        Sample(
            "goodreads",
            {
                "goodreads_interactions_poetry.json": objects(shelf),
                "goodreads_books_poetry.json": objects(books),
                "goodreads_book_genres_initial.json": objects(genres),
            },
            histories(user, number),
            everything,
        ),
        Sample("goodreads", {"goodreads_interactions.csv": text(csv)}, histories(number, number), times=False),
    ]


def places() -> list[Sample]:
    venue = key("4bf58dd8d48988d1")
    form = "%a %b %d %H:%M:%S +0000 %Y"
    city = [
        f"{p.user + 1}\t{venue(p.item)}\tc{p.item}\tCafé {GENRES[p.item % 2]}\t40.7\t-74.0\t-240\t{when(p.time, form)}"
        for p in PLAYS
    ]
    world = [f"{p.user + 1}\t{venue(p.item)}\t{when(p.time, form)}\t-240" for p in PLAYS]
    pois = [f"{venue(i)}\t40.7\t-74.0\t{GENRES[i % 2]}\tUS" for i in ITEMS]
    gowalla = [f"{p.user}\t{when(p.time, '%Y-%m-%dT%H:%M:%SZ')}\t30.2\t-97.7\t{p.item + 22}" for p in PLAYS]
    return [
        Sample(
            "foursquare", {"dataset_TSMC2014_NYC.txt": text(city, "latin-1")}, histories(number, venue), ("categories",)
        ),
        Sample(
            "foursquare",
            {"dataset_TIST2015_Checkins.txt": text(world), "dataset_TIST2015_POIs.txt": text(pois)},
            histories(number, venue),
            ("categories",),
        ),
        Sample("gowalla", {"loc-gowalla_totalCheckins.txt": text(gowalla)}, histories(str, lambda i: str(i + 22))),
    ]


def mbid(item: int) -> str:
    return "a74b1b7f-71a5-4011-9441-d0b5e4122711"[:-1] + str(item)


def music() -> list[Sample]:
    artists = ["userID\tartistID\tweight", *(f"{p.user + 1}\t{p.item + 1}\t{100 * p.rating}" for p in PLAYS)]
    names = ["id\tname\turl\tpictureURL", *(f'{i + 1}\t"Café {i}\thttp://x\thttp://y' for i in ITEMS)]
    person = lambda user: f"{user:040x}"  # noqa: E731
    plays = [f'{person(p.user)}\t{mbid(p.item)}\tCafé "{p.item}\t{p.rating}' for p in PLAYS]
    listener = lambda user: f"user_{user:06}"  # noqa: E731
    tracks = [
        f"{listener(p.user)}\t{when(p.time, '%Y-%m-%dT%H:%M:%SZ')}\tm\tan artist\t{mbid(p.item)}\tSong {p.item}"
        for p in PLAYS
    ]
    return [
        Sample(
            "lastfm-hetrec",
            {"user_artists.dat": text(artists), "artists.dat": text(names)},
            histories(number, number),
            ("titles",),
            times=False,
        ),
        Sample(
            "lastfm-360k",
            {"usersha1-artmbid-artname-plays.tsv": text(plays)},
            histories(person, mbid),
            ("titles",),
            times=False,
        ),
        Sample(
            "lastfm-1k",
            {"userid-timestamp-artid-artname-traid-traname.tsv": text(tracks)},
            histories(listener, mbid),
            ("titles",),
        ),
    ]


def isbn(item: int) -> str:
    return f"034545104{item}"


def others() -> list[Sample]:
    crossing = ['"User-ID";"ISBN";"Book-Rating"', *(f'"{p.user + 1}";"{isbn(p.item)}";"{p.rating}"' for p in PLAYS)]
    books = [
        '"ISBN";"Book-Title";"Book-Author";"Year-Of-Publication"',
        *(f'"{isbn(i)}";"The \\"Café\\"; {i}";"x";"{1990 + i}"' for i in ITEMS),
    ]
    trust = [f"{p.user + 1} {p.item + 100}  {p.rating}" for p in PLAYS]
    netflix = [
        line
        for i in ITEMS
        for line in (
            f"{i + 1}:",
            *(f"{p.user + 7},{p.rating},{when(p.time, '%Y-%m-%d')}" for p in PLAYS if p.item == i),
        )
    ]
    titles = [f"{i + 1},{'NULL' if i == 2 else 1990 + i},Café, the {i}" for i in ITEMS]
    news = key("N")
    behaviours = [
        f"{n}\tU{u}\t{when(START + 86_400 * n, '%m/%d/%Y %I:%M:%S %p')}\t{before}\t{shown}"
        for n, (u, before, shown) in enumerate(
            (
                u,
                " ".join(news(p.item) for p in PLAYS[4 * u : 4 * u + 2]),
                " ".join(f"{news(p.item)}-1 {news(90)}-0" for p in PLAYS[4 * u + 2 : 4 * u + 4]),
            )
            for u in range(5)
        )
    ]
    articles = [f'{news(i)}\t{GENRES[i % 2]}\tsub\t"Café {i}\tabstract\turl\t[]\t[]' for i in ITEMS]
    return [
        Sample(
            "book-crossing",
            {"BX-Book-Ratings.csv": text(crossing, "latin-1"), "BX-Books.csv": text(books, "latin-1")},
            histories(number, isbn),
            ("titles", "years"),
            times=False,
        ),
        Sample("epinions", {"ratings_data.txt": text(trust)}, histories(number, lambda i: str(i + 100)), times=False),
        Sample(
            "netflix",
            {"combined_data_1.txt": text(netflix), "movie_titles.csv": text(titles, "latin-1")},
            histories(lambda u: str(u + 7), number),
            ("titles", "years"),
        ),
        Sample(
            "mind",
            {"behaviors.tsv": text(behaviours), "news.tsv": text(articles)},
            histories(lambda u: f"U{u}", news),
            ("titles", "categories"),
        ),
    ]


def programs() -> list[Sample]:
    inter = [
        "user_id:token\titem_id:token\trating:float\ttimestamp:float",
        *(f"{p.user}\t{p.item}\t{p.rating}.0\t{p.time}.0" for p in PLAYS),
    ]
    items = [
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq",
        *(f"{i}\tCafé {i}\t{1990 + i}\t{GENRES[i % 2]} War" for i in ITEMS),
    ]
    known, ones = histories(str, str), histories(number, number)
    lines = [" ".join([user, *items]) for user, items in known.items()]
    everything = ("titles", "categories", "years")
    rising = {user: sorted(items) for user, items in known.items()}
    ratings = [f"{p.user}\t{p.item}\t{p.rating}\t{p.time}" for p in PLAYS]
    matrix = sparse.csr_array(([p.rating for p in PLAYS], ([p.user for p in PLAYS], [p.item for p in PLAYS])))
    packed = io.BytesIO()
    sparse.save_npz(packed, matrix)
    rows = [{"listener": p.user, "Track-ID": p.item, "played_at": p.time, "name": f"Café {p.item}"} for p in PLAYS]
    keys = {"user_key": "listener", "item_key": "Track-ID", "time_key": "played_at", "title_key": "name"}
    return [
        Sample("recbole", {"films.inter": text(inter), "films.item": text(items)}, known, everything),
        Sample("lightgcn", {"train.txt": text(lines)}, known, times=False),
        Sample("sasrec", {"Beauty.txt": text([f"{p.user + 1} {p.item + 1}" for p in PLAYS])}, ones, times=False),
        Sample("selfrec", {"train.txt": text([f"{p.user} {p.item} 1" for p in PLAYS])}, known, times=False),
        Sample("ncf-ratings", {"films.train.rating": text(ratings)}, known),
        Sample(
            "history-lines", {"input.txt": text([" ".join(items) for items in rising.values()])}, rising, times=False
        ),
        Sample("json-lines", {"plays.json": objects(rows)}, known, ("titles",), keys),
        Sample("npz", {"plays.npz": packed.getvalue()}, rising, times=False),
    ]


SAMPLES = [*movielens(), *amazon(), *reviews(), *places(), *music(), *others(), *programs()]
