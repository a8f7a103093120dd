"""What an optimizer multiplies the gradient with, as the kernels take it."""

from collections.abc import Mapping

import torch

from usct.inversion.optimizers import Adam


def adam_preconditioner(
    memory: Mapping[str, torch.Tensor], learning_rate: float, learning_rates: torch.Tensor
) -> torch.Tensor:
    """Diagonal by which Adam multiplies the gradient, its memory held: P of the kernel that it descends by.

    Args:
        memory: What `Adam.memory` returned after at least one step.
        learning_rate: Of the optimizer [1].
        learning_rates: Share of it for every parameter, shape (parameter,).

    Returns:
        Shape (parameter,), float64.

    Raises:
        ValueError: If the memory is not that of Adam after a step.

    References:
        Kingma & Ba, ICLR 2015, algorithm 1.
    """
    if not {"square", "count"} <= memory.keys():
        raise ValueError("the memory is not Adam's after a step; it must hold 'square' and 'count'")
    square = memory["square"].double() / (1 - Adam.SPREAD ** float(memory["count"]))
    return (
        learning_rate * learning_rates.double() / (square.sqrt() + Adam.FLOOR * square.max().sqrt() + 1e-300)
    )
