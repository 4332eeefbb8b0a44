"""Norms and clipped sums of the gradients of single examples, without the gradients ("ghost" clipping).

In a linear layer the gradient of an example is an outer product: its norm is that of the layer's input times that of
the gradient at the layer's output (Goodfellow, Efficient per-example gradient computations, 2015), and a weighted sum
of gradients is one matrix product. In a table it is a row for every entry that the example reads.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from fedkd.models.item_table import ItemScores, ItemSum
from fedkd.training.chunks import Loss, Parameters
from fedkd.training.example_clipping import clip_factors
from fedkd.training.examples import Examples

LINEAR = (nn.Linear, ItemScores, ItemSum)

LARGEST = 1e19
"""A longer vector counts as not finite: its square overflows in single precision."""

SHORTEST = 1e-15
"""A shorter vector counts as that long: its square underflows in single precision."""

Named = dict[str, Tensor]


@dataclass(frozen=True)
class Ghost:
    """A model that consists of linear layers and tables, each used once for every example.

    Attributes
    ----------
    model : nn.Module
        Gives the computation.
    shapes : mapping of str to tuple of int
        Shape of each layer's output for one example.
    """

    model: nn.Module
    shapes: Mapping[str, tuple[int, ...]]

    def add_clipped(
        self, own: Parameters, columns: Named, weight: Tensor, loss: Loss, clip: float, target: Parameters
    ) -> None:
        """Add the weighted sum of every student's clipped gradients to ``target``, in place.

        Parameters
        ----------
        own : Parameters
            One student per client.
        columns : dict of str to Tensor, shape [clients, width, ...]
            Examples, padded with any of them.
        weight : Tensor, shape [clients, width]
            Weight of each clipped gradient; 0 for padding.
        loss : callable
            As in ``fedkd.training.engine.train``.
        clip : float
            Largest norm; infinite for none.
        target : Parameters
            Shapes as in ``own``; may be ``own`` itself.
        """
        inputs, slopes = self._passes(own, columns, loss)
        parts = {name: self._part(name, inputs[name], slopes[name]) for name in self.shapes}
        norms = torch.stack([part.norm for part in parts.values()])
        whole = torch.where((norms < LARGEST).all(0), norms.square().sum(0).sqrt(), torch.inf)
        factor = clip_factors(whole, clip) if clip < torch.inf else torch.ones_like(whole)
        broken = None if bool(whole.isfinite().all()) else ~whole.isfinite()
        for name, part in parts.items():
            part.add(name, (factor * weight).float(), broken, target)

    def _passes(self, own: Parameters, columns: Named, loss: Loss) -> tuple[Named, Named]:
        """Return the inputs of all layers and the gradients at their outputs, shapes [clients, width, ...]."""
        size = next(iter(columns.values())).shape[:2]
        taps = {name: torch.zeros(*size, *shape, requires_grad=True) for name, shape in self.shapes.items()}

        def one(own: Parameters, taps: Named, batch: Named) -> tuple[Tensor, Named]:
            each, inputs, _ = _watched(self.model, own, taps, batch, loss)
            return each, inputs

        each, inputs = vmap(one)(own, taps, columns)
        slopes = torch.autograd.grad(each.sum(), list(taps.values()))
        return {name: given.detach() for name, given in inputs.items()}, dict(zip(taps, slopes, strict=True))

    def _part(self, name: str, given: Tensor, slope: Tensor) -> "_Linear | _Table":
        module = self.model.get_submodule(name)
        if isinstance(module, nn.Embedding):
            return _Table.of(given, slope)
        return _Linear(given, slope, module.bias is not None, isinstance(module, ItemSum))


@dataclass(frozen=True)
class _Linear:
    """The gradients of a linear layer: inputs [clients, width, in] and slopes [clients, width, out].

    A weight has a row for every output, or in an ``ItemSum`` for every input.
    """

    given: Tensor
    slope: Tensor
    bias: bool
    by_input: bool

    @property
    def norm(self) -> Tensor:
        """Norm of every example's gradient in double precision; infinite where a factor is too long."""
        given, slope = _lengths(self.given), _lengths(self.slope)
        sound = (given < LARGEST) & (slope < LARGEST)
        return torch.where(sound, slope * (given.square() + float(self.bias)).sqrt(), torch.inf)

    def add(self, name: str, weight: Tensor, broken: Tensor | None, target: Parameters) -> None:
        """Add the weighted sum of the examples' gradients to ``target``, without the broken examples."""
        scaled, given = self.slope * weight.unsqueeze(-1), self.given
        if broken is not None:  # what is not finite times zero is not zero
            scaled, given = (t.masked_fill(broken.unsqueeze(-1), 0.0) for t in (scaled, given))
        rows, columns = (given, scaled) if self.by_input else (scaled, given)
        target[f"{name}.weight"].baddbmm_(rows.mT, columns)
        if self.bias:
            target[f"{name}.bias"].add_(scaled.sum(1))


@dataclass(frozen=True)
class _Table:
    """The gradients of a table: entries [clients, width, most], no entry of an example twice, and their rows."""

    entries: Tensor
    rows: Tensor

    @classmethod
    def of(cls, index: Tensor, slope: Tensor) -> "_Table":
        """Sum the rows that fall on one entry of one example; the rest are rows of zeros."""
        index, slope = index.reshape(*index.shape[:2], -1), slope.reshape(*index.shape[:2], -1, slope.shape[-1])
        if index.shape[-1] == 1:
            return cls(index, slope)
        ordered, order = index.sort(-1)
        first = torch.ones_like(ordered)
        first[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
        number = first.cumsum(-1) - 1
        sorted_slope = slope.gather(-2, order.unsqueeze(-1).expand_as(slope))
        rows = torch.zeros_like(slope).scatter_add_(-2, number.unsqueeze(-1).expand_as(slope), sorted_slope)
        return cls(torch.zeros_like(ordered).scatter_(-1, number, ordered), rows)

    @property
    def norm(self) -> Tensor:
        """Norm of every example's gradient."""
        return _lengths(self.rows.flatten(-2))

    def add(self, name: str, weight: Tensor, broken: Tensor | None, target: Parameters) -> None:
        """Add the weighted sum of the examples' gradients to ``target``, without the broken examples."""
        rows = self.rows * weight[..., None, None]
        if broken is not None:
            rows = rows.masked_fill(broken[..., None, None], 0.0)
        table = target[f"{name}.weight"]
        first = torch.arange(len(table)).view(-1, 1, 1) * table.shape[1]
        table.view(-1, table.shape[-1]).index_add_(0, (self.entries + first).flatten(), rows.flatten(0, 2))


def _lengths(vectors: Tensor) -> Tensor:
    """Return Euclidean norms over the last axis, right to about 2e-7, as numbers of double precision.

    Squares are summed in single precision, which is faster; underflow is made up for.
    """
    return vectors.square().sum(-1).sqrt().double().clamp(min=SHORTEST)


def ghost_of(model: nn.Module, examples: Examples, loss: Loss) -> Ghost | None:
    """Return a model's ghost, or None where the layers' inputs and outputs do not give the whole gradient.

    Synthetic examples show it: a model may read a table past its layer, for example, or use a layer twice.
    """
    owners = sorted({name.rpartition(".")[0] for name, _ in model.named_parameters(remove_duplicate=False)})
    tied = len(list(model.named_parameters(remove_duplicate=False))) != len(list(model.parameters()))
    generator = torch.Generator().manual_seed(0)
    columns = _synthetic(model, examples, generator)
    if tied or columns is None or not all(_plain(model.get_submodule(name)) for name in owners):
        return None
    own = {name: torch.randn(p.shape, generator=generator) for name, p in model.named_parameters()}
    try:
        _, _, outputs = _watched(model, own, {name: torch.zeros(()) for name in owners}, columns, loss)
    except _UsedTwiceError:
        return None
    ghost = Ghost(model, {name: tuple(output.shape[1:]) for name, output in outputs.items()})
    return ghost if set(outputs) == set(owners) and _fits(ghost, outputs, own, columns, loss) else None


def _plain(module: nn.Module) -> bool:
    if type(module) is nn.Embedding:
        return module.padding_idx is None and module.max_norm is None and not module.scale_grad_by_freq
    return type(module) in LINEAR


SYNTHETIC = 3


def _synthetic(model: nn.Module, examples: Examples, generator: torch.Generator) -> Named | None:
    """Return random examples like given ones, or None where the meaning of their whole numbers is not known."""
    columns = {}
    for name, column in examples.columns.items():
        shape = (SYNTHETIC, *column.values.shape[1:])
        if name in examples.items:
            columns[name] = torch.randint(0, vars(model)["num_items"], shape, generator=generator)
        elif name in examples.histories:
            columns[name] = torch.randint(0, vars(model)["num_items"] + 1, shape, generator=generator)
        elif column.values.dtype.kind == "f":
            columns[name] = torch.rand(shape, generator=generator)
        else:
            return None
    return columns


def _fits(ghost: Ghost, outputs: Named, own: Parameters, columns: Named, loss: Loss) -> bool:
    """Return whether the ghost's sum of gradients is that of examples taken one by one."""
    linear = [o for name, o in outputs.items() if type(ghost.model.get_submodule(name)) in LINEAR]
    if any(len(o) != SYNTHETIC for o in outputs.values()) or any(o.ndim != 2 for o in linear):
        return False
    weight = torch.arange(1.0, SYNTHETIC + 1)
    leaves = {name: p.clone().requires_grad_() for name, p in own.items()}
    singles = [{name: c[i : i + 1] for name, c in columns.items()} for i in range(SYNTHETIC)]
    total = sum(weight[i] * _loss(ghost.model, leaves, single, loss).sum() for i, single in enumerate(singles))
    expected = torch.autograd.grad(torch.as_tensor(total), list(leaves.values()), allow_unused=True)
    got = {name: torch.zeros(1, *p.shape) for name, p in own.items()}
    stacked, batch = ({name: t[None] for name, t in named.items()} for named in (own, columns))
    ghost.add_clipped(stacked, batch, weight[None], loss, torch.inf, got)
    pairs = zip(got.values(), expected, strict=True)
    return all(e is not None and torch.allclose(g[0], e, rtol=1e-3, atol=1e-4 * float(e.abs().max())) for g, e in pairs)


class _UsedTwiceError(Exception):
    """The error of a layer that is used more than once for an example."""


def _loss(model: nn.Module, own: Parameters, batch: Mapping[str, Tensor], loss: Loss) -> Tensor:
    def student(*inputs: Tensor) -> Tensor:
        return torch.as_tensor(functional_call(model, own, inputs))

    return loss(student, batch)


def _watched(model: nn.Module, own: Parameters, taps: Named, batch: Named, loss: Loss) -> tuple[Tensor, Named, Named]:
    """Return one student's losses, and the inputs and outputs of every layer; taps are added to the latter."""
    inputs: Named = {}
    outputs: Named = {}

    def _watch(name: str) -> torch.utils.hooks.RemovableHandle:
        def _hook(module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> Tensor:
            del module
            if name in inputs:
                raise _UsedTwiceError
            inputs[name], outputs[name] = given[0], output
            return output + taps[name]

        return model.get_submodule(name).register_forward_hook(_hook)

    handles = [_watch(name) for name in taps]
    try:
        return _loss(model, own, batch, loss), inputs, outputs
    finally:
        for handle in handles:
            handle.remove()
