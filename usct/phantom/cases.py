"""Cases: a phantom, a ring, noise, and the score which a reconstruction is expected to reach."""

from dataclasses import dataclass

from usct import overrides
from usct.errors import InputError
from usct.phantom import toml


@dataclass(frozen=True)
class Case:
    """A complete synthetic experiment, as its TOML file writes it.

    Attributes:
        title: What it shows.
        phantom: Name of the recipe.
        seed: Seed of the phantom.
        elements: Number of transducers on the ring.
        ring_radius_mm: Radius of the ring.
        frequencies_mhz: Frequencies to simulate.
        snr_db: Signal-to-noise ratio.
        noise_seed: Seed of the noise.
        simulation_spacing_mm: Spacing of the grid on which the data are simulated.
        start_sound_speed: Uniform sound speed that the reconstruction starts from [m/s].
        expected_rmse: Root-mean-square error within the object to stay below [m/s].
        known_tissues: Names, with commas, of the tissues that the start has with all their properties, such as a skull.
        uniform_density: Whether the phantom's density is left out, which no method inverts for.
    """

    title: str
    phantom: str
    seed: int
    elements: int
    ring_radius_mm: float
    frequencies_mhz: tuple[float, ...]
    snr_db: float
    noise_seed: int
    simulation_spacing_mm: float
    start_sound_speed: float
    expected_rmse: float
    known_tissues: str = ""
    uniform_density: bool = False


def case_names() -> tuple[str, ...]:
    """Names of the cases that come with usct, sorted."""
    return tuple(sorted(path.stem for path in (toml.folder() / "cases").glob("*.toml")))


def load_case(name: str) -> Case:
    """Read one of the cases that come with usct.

    Raises:
        InputError: If there is no such case, or if its file is malformed.
    """
    if name not in case_names():
        raise InputError(f"there is no case {name!r}; choose from {', '.join(case_names())}")
    path = toml.folder() / "cases" / f"{name}.toml"
    return toml.build(Case, overrides.read(path), str(path))
