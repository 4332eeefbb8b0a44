"""MovieLens in a few rows, and histories by the source's own ids."""

from pathlib import Path

from fedkd.data.interactions import Interactions

TINY_100K = {
    "u.data": "1\t2\t5\t20\n1\t1\t4\t10\n2\t2\t3\t5\n2\t3\t1\t5\n0\t1\t5\t1\n",
    "ua.test": "1\t1\t4\t10\n2\t3\t1\t5\n",
    "u.genre": "unknown|0\nDrama|1\n\n",
    "u.item": "1|Caf\xe9: one (1995)|d||u|0|1\n2|Two (1996)|d||u|1|0\n3|Three|d||u|1|1\n",
}
TINY_1M = {
    "ratings.dat": "1::20::5::200\n1::10::3::100\n2::20::4::300\n2::30::4::300\n",
    "movies.dat": "10::Star: a tale (1977)::Drama|War\n20::Caf\xe9 (1990)::Drama\n30::Last::Comedy\n",
}


def unpacked(folder: Path, files: dict[str, str]) -> Path:
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="latin-1")
    return folder


def histories(data: Interactions) -> dict[str, list[str]]:
    return {user: data.catalogue.ids[data.histories[row]].tolist() for row, user in enumerate(data.users.tolist())}
