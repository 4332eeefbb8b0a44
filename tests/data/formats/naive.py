"""Slow, independent readers of the made-up files: pairs of user and item, or an error where a file is no such file."""

import ast
import csv
import io
import json
import re
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

Pairs = list[tuple[str, str]]
Reader = Callable[[bytes], Pairs]


def plain(value: Any) -> str:
    """Return an id as the program writes it, ``7.0`` as ``7``."""
    if isinstance(value, bool | list | dict):
        raise ValueError(value)
    return re.sub(r"^(-?(?:0|[1-9]\d*))\.0+$", r"\1", "" if value is None else str(value).strip())


def lines(data: bytes, encoding: str = "utf-8") -> list[str]:
    text = data.decode("utf-8-sig" if encoding == "utf-8" else encoding)
    if "\0" in text:
        raise ValueError("NUL")
    return [line for line in re.split(r"\r\n|\n|\r", text) if line.strip()]


def table(separator: str, user: Any, item: Any, encoding: str = "utf-8", escape: str | None = None) -> Reader:
    """Return the reader of a table, whose columns are positions, or names in a header."""

    def read(data: bytes) -> Pairs:
        found = lines(data, encoding)
        if separator in ",;":
            quoted = io.StringIO("\n".join(found), newline="")
            rows = [
                row for row in csv.reader(quoted, delimiter=separator, escapechar=escape, strict=True) if row != [""]
            ]
        elif separator == " ":
            rows = [line.split() for line in found]
        else:
            rows = [line.split(separator) for line in found]
        at = [
            column if isinstance(column, int) else [name.strip() for name in rows[0]].index(column)
            for column in (user, item)
        ]
        width = len(rows[0])
        if any(len(row) < width or any(map(str.strip, row[width:])) for row in rows):
            raise ValueError("width")
        body = rows if isinstance(user, int) else rows[1:]
        return [(plain(row[at[0]]), plain(row[at[1]])) for row in body]

    return read


def objects(user: str, item: str, inner: str = "", parse: Callable[[str], Any] = json.loads) -> Reader:
    def read(data: bytes) -> Pairs:
        rows = [parse(line.strip()) for line in data.decode("utf-8-sig").split("\n") if line.strip()]
        every = [{**row, **each} for row in rows for each in (row[inner] if inner else [{}])]
        return [(plain(row.get(user)), plain(row.get(item))) for row in every]

    return read


def blocks(data: bytes) -> Pairs:
    film, found = "", []
    for line in lines(data):
        if match := re.fullmatch(r"(\d+):\s*", line):
            film = match[1]
        else:
            user, _, _ = line.split(",")
            found.append((user, film))
    return found


def clicks(data: bytes) -> Pairs:
    found, known = [], set()
    for line in lines(data):
        _, user, _, before, shown = line.split("\t")
        found += [] if user in known else [(user, news) for news in before.split()]
        known.add(user)
        found += [(user, news[:-2]) for news in shown.split() if news.endswith("-1")]
    return found


def whole(text: str) -> str:
    if not re.fullmatch(r"-?\d+", text, re.A):
        raise ValueError(text)
    return text


def users(data: bytes) -> Pairs:
    return [(whole(line.split()[0]), whole(item)) for line in lines(data) for item in line.split()[1:]]


def bare(data: bytes) -> Pairs:
    return [(str(at), whole(item)) for at, line in enumerate(lines(data)) for item in line.split()]


def matrix(data: bytes) -> Pairs:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = {name: np.load(io.BytesIO(archive.read(name))) for name in archive.namelist()}
    starts = parts["indptr.npy"]
    rows = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    return [(str(u), str(i)) for u, i in zip(rows, parts["indices.npy"], strict=True)]


READERS: dict[str, Reader] = {
    "ratings.dat": table("::", 0, 1),
    "ratings.csv": table(",", "userId", "movieId"),
    "ratings_Music.csv": table(",", 0, 1),
    "reviews_Music_5.json": objects("reviewerID", "asin"),
    "Music.csv": table(",", 1, 0),
    "Music_5.json": objects("reviewerID", "asin"),
    "Music.jsonl": objects("user_id", "parent_asin"),
    "yelp_academic_dataset_review.json": objects("user_id", "business_id"),
    "steam_reviews.json": objects("username", "product_id", parse=ast.literal_eval),
    "australian_users_items.json": objects("user_id", "item_id", "items", ast.literal_eval),
    "goodreads_interactions_poetry.json": objects("user_id", "book_id"),
    "goodreads_interactions.csv": table(",", "user_id", "book_id"),
    "dataset_TSMC2014_NYC.txt": table("\t", 0, 1, "latin-1"),
    "dataset_TIST2015_Checkins.txt": table("\t", 0, 1, "latin-1"),
    "loc-gowalla_totalCheckins.txt": table("\t", 0, 4),
    "user_artists.dat": table("\t", "userID", "artistID"),
    "usersha1-artmbid-artname-plays.tsv": table("\t", 0, 1),
    "userid-timestamp-artid-artname-traid-traname.tsv": table("\t", 0, 4),
    "BX-Book-Ratings.csv": table(";", "User-ID", "ISBN", "latin-1", "\\"),
    "ratings_data.txt": table(" ", 0, 1),
    "combined_data_1.txt": blocks,
    "behaviors.tsv": clicks,
    "films.inter": table("\t", "user_id:token", "item_id:token"),
    "train.txt": users,
    "Beauty.txt": table(" ", 0, 1),
    "films.train.rating": table("\t", 0, 1),
    "input.txt": bare,
    "plays.json": objects("listener", "Track-ID"),
    "plays.npz": matrix,
}
"""By the name of a sample's first file; two names belong to two forms, see ``reader``."""


def reader(source: str, name: str) -> Reader:
    """Return the reader of a sample."""
    other = {
        ("amazon-2023", "Music.csv"): table(",", "user_id", "parent_asin"),
        ("selfrec", "train.txt"): table(" ", 0, 1),
    }
    return other.get((source, name), READERS[name])
