"""The formats in which a model is exported: ONNX, TorchScript, and its arrays alone."""

import io
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save
from torch import Tensor

from fedkd.deployment.optional import optional
from fedkd.errors import UserError
from fedkd.models.arrays import stored_arrays
from fedkd.models.base import Recommender

OPSET = 18
"""Operators of ONNX 1.13, which ONNX Runtime knows since 1.14."""

EXAMPLES, EXAMPLE_LENGTH = 3, 7


def history_length(model: Recommender) -> int | None:
    """Return the number of items that a model looks at, or None where it takes histories of any length."""
    length = getattr(model, "length", None)
    return None if length is None else int(length)


def example(model: Recommender) -> Tensor:
    """Return histories of different lengths from which a program is traced."""
    length = history_length(model) or EXAMPLE_LENGTH
    histories = torch.arange(EXAMPLES * length).view(EXAMPLES, length) % model.num_items
    histories[1, : length // 2] = model.num_items
    return histories


def onnx_bytes(model: Recommender) -> bytes:
    """Return a model as an ONNX program from ``history`` to ``scores``.

    Packed tensors stay small in the file: the runtime puts them together once, when it loads the model.
    """
    onnx = optional("onnx", "an export to ONNX")
    out, axes = io.BytesIO(), {0: "batch"} if history_length(model) else {0: "batch", 1: "length"}
    with _quiet(model, "ONNX"):
        torch.onnx.export(
            model,
            (example(model),),
            out,  # type: ignore[arg-type]  # any file will do
            input_names=["history"],
            output_names=["scores"],
            dynamic_axes={"history": axes, "scores": {0: "batch"}},
            opset_version=OPSET,
            dynamo=False,  # the other exporter takes a hundred times as long, and unfolds what is packed
            do_constant_folding=False,
        )
    program = onnx.load_model_from_string(out.getvalue())
    _shorten(program.graph)
    return bytes(program.SerializeToString())


def _shorten(graph: Any) -> None:
    """Give the steps of a program short names, which take more bytes than the steps themselves; not inside loops."""
    if any(attribute.HasField("g") for node in graph.node for attribute in node.attribute):
        return
    kept = {"", *(value.name for value in graph.output)}
    made = [name for node in graph.node for name in node.output if name not in kept]
    short = {name: f"v{number}" for number, name in enumerate(made)}
    for node in graph.node:
        node.name = ""
        node.input[:] = [short.get(name, name) for name in node.input]
        node.output[:] = [short.get(name, name) for name in node.output]
    del graph.value_info[:]


def torchscript_bytes(model: Recommender) -> bytes:
    """Return a model as a TorchScript program, which needs torch alone."""
    out = io.BytesIO()
    with _quiet(model, "TorchScript"):
        torch.jit.save(torch.jit.trace(model, example(model), check_trace=False), out)  # type: ignore[no-untyped-call]
    return out.getvalue()


def safetensors_bytes(model: Recommender) -> bytes:
    """Return a model's arrays."""
    return bytes(save({name: np.asarray(array, order="C") for name, array in stored_arrays(model).items()}))


@contextmanager
def _quiet(model: Recommender, format_name: str) -> Iterator[None]:
    """Keep the exporters' remarks about their own future from the terminal; say of a model what cannot be exported."""
    known = logging.getLogger("torch.onnx")
    level = known.level
    known.setLevel(logging.ERROR)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (RuntimeError, NotImplementedError, torch.onnx.errors.OnnxExporterError) as error:
        first = str(error).partition("\n")[0]
        raise UserError(
            f"a model of class {type(model).__name__} cannot be exported to {format_name} ({first}); "
            "--format safetensors takes every student"
        ) from None
    finally:
        known.setLevel(level)


FORMATS: dict[str, tuple[str, Callable[[Recommender], bytes]]] = {
    "onnx": ("model.onnx", onnx_bytes),
    "torch": ("model.pt", torchscript_bytes),
    "safetensors": ("model.safetensors", safetensors_bytes),
}
"""Name of the file, and how it is written."""
