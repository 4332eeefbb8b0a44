"""The export of a run's student: made smaller, checked, and written with all that belongs to it."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors.numpy import save

from fedkd.data.catalogue import FILE as CATALOGUE
from fedkd.data.catalogue import Catalogue
from fedkd.deployment.cards import Size, model_card, privacy_card
from fedkd.deployment.compression.base import Compression
from fedkd.deployment.compression.table import compressed
from fedkd.deployment.folder import ExportFolder, write_folder
from fedkd.deployment.formats import FORMATS, history_length
from fedkd.deployment.parity import Parity, parity
from fedkd.deployment.scorers import RUNTIMES, ExportedModel, HistoryForm
from fedkd.deployment.students import adjustment_of_run, recipe, student_of_run
from fedkd.gate.judgement import Decision
from fedkd.lists.adjustment import FILE as LISTS
from fedkd.models.base import Recommender
from fedkd.registry import unknown
from fedkd.report.run import Run
from fedkd.runs.config import Config
from fedkd.runs.folder import RunFolder


@dataclass(frozen=True)
class Exported:
    """An export that was written.

    Attributes
    ----------
    path : Path
        The folder.
    size : Size
        The model's numbers and bytes, before and after.
    parity : Parity
        What the export changed.
    """

    path: Path
    size: Size
    parity: Parity


def export(run: Path, out: Path, format_name: str = "onnx", steps: Sequence[Compression] = ()) -> Exported:
    """Export the student of a finished run; a folder that holds an older export is replaced.

    Parameters
    ----------
    run : Path
        The run's folder.
    out : Path
        The new folder.
    format_name : str
        ``onnx``, ``torch`` (TorchScript) or ``safetensors`` (the arrays alone, for fedkd).
    steps : sequence of Compression
        What makes the student smaller, in this order.

    Raises
    ------
    UserError
        The run has no student, it cannot be exported so, or the exported program does not compute the same.
    """
    if format_name not in FORMATS:
        raise unknown("format", format_name, tuple(FORMATS))
    config, catalogue, student = student_of_run(run)
    small = compressed(student, steps)
    adjustment = adjustment_of_run(run, config)
    file, write = FORMATS[format_name]
    content = write(small)
    items = catalogue if format_name == "safetensors" else _without_vectors(catalogue)
    manifest = _manifest(config, format_name, student, small, steps)
    found = parity(student, small, _opened(manifest, file, content, items), config)
    size = Size(student.size()[0], student.size()[1], len(content))
    told = Run.read(run)
    contents = {
        file: content,
        CATALOGUE: items.to_bytes(),
        "items.csv": items_table(items),
        "MODEL_CARD.md": model_card(told, manifest, size, found).encode(),
        "PRIVACY_CARD.md": privacy_card(told).encode(),
    }
    if adjustment.steps:
        contents[LISTS] = save(adjustment.arrays())
    write_folder(out, {**manifest, "parity": found.told()}, contents)
    return Exported(out, size, found)


def compression_of_gate(run: Path) -> str:
    """Return the steps with which a run's student met its gate; empty where it did not, or needed none."""
    gate = RunFolder.open(run).summary().get("gate", {})
    return str(gate.get("compression", "")) if gate.get("decision") == Decision.MET else ""


def items_table(catalogue: Catalogue) -> bytes:
    """Return the items for other programs: position, id and title, and names of categories, as CSV."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["position", "id", "title", "categories"])
    titles = [""] * len(catalogue) if catalogue.titles is None else catalogue.titles.tolist()
    for position, (item, title) in enumerate(zip(catalogue.ids.tolist(), titles, strict=True)):
        of = catalogue.membership[position] if catalogue.categories else []
        names = [name for name, has in zip(catalogue.categories, of, strict=True) if has]
        rows.writerow([position, item, title, "|".join(names)])
    return text.getvalue().encode()


def _manifest(
    config: Config, format_name: str, student: Recommender, small: Recommender, steps: Sequence[Compression]
) -> dict[str, Any]:
    return {
        "name": config.name,
        "fedkd": version("fedkd"),
        "format": format_name,
        "model": FORMATS[format_name][0],
        "history": {
            "items": student.num_items,
            "length": history_length(student),
            "padding": f"{student.num_items} on the left",
            "order": "oldest first",
            "type": "int64",
            "masked": "items of the history are not recommended",
        },
        "lists": list(config.lists.steps),
        **recipe(config, student, small, steps),
    }


def _opened(manifest: dict[str, Any], file: str, content: bytes, items: Catalogue) -> ExportedModel:
    """Return the program as its readers will open it."""
    folder = ExportFolder(Path(), manifest, {file: content, CATALOGUE: items.to_bytes()})
    told = manifest["history"]
    return ExportedModel(RUNTIMES[manifest["format"]](folder, 1), HistoryForm(told["items"], told["length"]))


def _without_vectors(catalogue: Catalogue) -> Catalogue:
    """Return a catalogue without vectors, which such a program holds itself where it needs them."""
    return Catalogue(catalogue.ids, catalogue.titles, catalogue.categories, catalogue.membership, {}, catalogue.years)
