"""Exported models that score histories, in ONNX Runtime or torch."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedkd.deployment.folder import ExportFolder
from fedkd.deployment.optional import optional
from fedkd.errors import UserError
from fedkd.ragged import Ragged

Run = Callable[[NDArray[np.int64]], NDArray[np.float32]]
"""Padded histories, shape [batch, length], in; scores, shape [batch, items], out."""


@dataclass(frozen=True)
class HistoryForm:
    """The form in which a model takes a history.

    Attributes
    ----------
    items : int
        Number of items; this number itself pads histories, on the left.
    length : int, optional
        The most recent items that are given, always so many with the padding; None for as many as there are.
    """

    items: int
    length: int | None

    def padded(self, histories: Ragged) -> NDArray[np.int64]:
        """Return histories as a model's input, shape [rows, length]."""
        return histories.padded(self.items, self.length).astype(np.int64)


@dataclass(frozen=True)
class ExportedModel:
    """An exported model that is ready to score.

    Attributes
    ----------
    run : callable
        The model.
    form : HistoryForm
        How histories are given to it.
    """

    run: Run
    form: HistoryForm

    def score(self, histories: Ragged, batch_size: int = 256) -> NDArray[np.float32]:
        """Return the scores of histories of item positions, shape [rows, items]."""
        rows = np.arange(len(histories))
        parts = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
        scores = [self.run(self.form.padded(histories.take(part))) for part in parts]
        return np.concatenate([np.zeros((0, self.form.items), np.float32), *scores])


def open_model(folder: ExportFolder, threads: int = 1) -> ExportedModel:
    """Return the model of an exported folder.

    Parameters
    ----------
    folder : ExportFolder
        The folder.
    threads : int
        Threads of one call.

    Raises
    ------
    UserError
        Its format needs a package that is not installed, or the file cannot be read.
    """
    told = folder.manifest["history"]
    form = HistoryForm(int(told["items"]), told["length"])
    if (kind := folder.manifest["format"]) not in RUNTIMES:
        raise UserError(f"{folder.path} holds a model of format {kind!r}; this version reads {', '.join(RUNTIMES)}")
    if form.items != len(folder.catalogue):
        raise UserError(f"{folder.path} has {len(folder.catalogue)} items and a model of {form.items}; export it again")
    return ExportedModel(RUNTIMES[kind](folder, threads), form)


def onnx_model(folder: ExportFolder, threads: int) -> Run:
    """Return an ONNX model in ONNX Runtime, on the processor."""
    runtime = optional("onnxruntime", "a model of format onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    try:
        session = runtime.InferenceSession(folder.model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no class of their own
        raise UserError(f"{folder.path / folder.manifest['model']} cannot be loaded ({type(error).__name__})") from None
    return lambda padded: np.asarray(session.run(["scores"], {"history": padded})[0], np.float32)


def torchscript_model(folder: ExportFolder, threads: int) -> Run:
    """Return a TorchScript program in torch."""
    import torch

    torch.set_num_threads(threads)
    try:
        program = torch.jit.load(io.BytesIO(folder.model))  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        raise UserError(f"{folder.path / folder.manifest['model']} cannot be loaded ({type(error).__name__})") from None
    return torch_run(program)


def arrays_model(folder: ExportFolder, threads: int) -> Run:
    """Return the model whose arrays are stored, built by its own class."""
    import torch
    from safetensors.numpy import load

    from fedkd.deployment.students import rebuilt

    torch.set_num_threads(threads)
    return torch_run(rebuilt(folder, load(folder.model)))


def torch_run(model: Any) -> Run:
    """Return a torch module as a function of arrays."""
    import torch

    def run(padded: NDArray[np.int64]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return np.asarray(model(torch.from_numpy(padded)).numpy(), np.float32)

    return run


RUNTIMES: dict[str, Callable[[ExportFolder, int], Run]] = {
    "onnx": onnx_model,
    "torch": torchscript_model,
    "safetensors": arrays_model,
}
"""The opener of every format."""
