"""Fields that end in a multilayer perceptron in the neural-tangent parametrization."""

from collections.abc import Callable
from typing import Literal

import torch

from usct.medium import Medium
from usct.parameterization.network import NetworkField, Weights, normal

Activation = Literal["tanh", "gelu", "relu"]

ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "tanh": torch.tanh,
    "gelu": torch.nn.functional.gelu,
    "relu": torch.relu,
}


class PerceptronField(NetworkField):
    """A network whose features enter a perceptron without biases.

    Its weights have unit variance and are divided by the root of the number of inputs, so that kernels do not
    depend on how wide the layers are (Jacot et al., NeurIPS 31 (2018) 8571).

    Args:
        start: The base image.
        region: Cells that may change.
        bounds: Lowest and highest sound speed [m/s].
        n_hidden: Units of each hidden layer.
        n_layers: Number of hidden layers.
        activation: Of all units.
        scale: Relative change of slowness for an output of one.
        seed: Of the first weights.
        dtype: Of the parameters and of the arithmetic.

    Raises:
        ValueError: If there are no units or no layers.
    """

    def __init__(
        self,
        start: Medium,
        region: torch.Tensor,
        bounds: tuple[float, float],
        n_hidden: int,
        n_layers: int,
        activation: Activation,
        scale: float,
        seed: int,
        dtype: torch.dtype,
    ) -> None:
        super().__init__(start, region, bounds, scale, seed, dtype)
        if n_hidden < 1 or n_layers < 1:
            raise ValueError(f"a network needs units and layers, got {n_hidden} and {n_layers}")
        self.n_hidden = n_hidden
        self.n_layers = n_layers
        self.activation = activation

    def draw_layers(self, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Standard normal weights for what follows the first hidden units, by name."""
        widths = (*[self.n_hidden] * self.n_layers, 1)
        return {f"layer{n}": normal(generator, (self.n_hidden, width)) for n, width in enumerate(widths[1:])}

    def through_layers(self, hidden: torch.Tensor, weights: Weights) -> torch.Tensor:
        """Output of the perceptron, shape (point,), of what enters its first units, shape (point, unit)."""
        for n in range(self.n_layers):
            # The small matrix takes the factor: scaling the many activations would cost a pass over memory.
            layer = weights[f"layer{n}"] * self.n_hidden**-0.5
            hidden = ACTIVATIONS[self.activation](hidden) @ layer
        return hidden[:, 0]
