"""Attention transfer: which positions of a history a layer looks at."""

from torch import Tensor

from fedkd.errors import UserError

SMALLEST = 1e-12
"""Added to the square of a norm, so that a history without items has a gradient of 0 and not NaN."""


def attention_difference(student: Tensor, teacher: Tensor) -> Tensor:
    """Return ``|q_s / |q_s| - q_t / |q_t||^2`` of attention maps ``q_p = sum_k f_pk^2``.

    Zagoruyko & Komodakis, Paying more attention to attention, ICLR 2017, equation 2, squared as in other feature
    losses. Widths may differ, positions are the same for both; one position has nothing to tell.

    Parameters
    ----------
    student, teacher : Tensor, shape [..., positions, features]

    Returns
    -------
    Tensor, shape [...]

    Raises
    ------
    UserError
        There is one position alone.
    """
    if min(student.shape[-2], teacher.shape[-2]) < 2:
        raise UserError(
            "attention transfer compares the positions of a history, and these features have one; set positions = true "
            "and a layer, or choose another feature loss"
        )
    return (attention_map(student) - attention_map(teacher)).square().sum(-1)


def attention_map(features: Tensor) -> Tensor:
    """Return the squares of a layer's features by position, of length 1, shape [..., positions]."""
    energy = features.square().sum(-1)
    return energy / (energy.square().sum(-1, keepdim=True) + SMALLEST).sqrt()
