"""Representations by name: how a trained one becomes plain arrays, and how it comes back."""

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

import torch
from torch.overrides import TorchFunctionMode

from usct.grid import Grid
from usct.medium import Medium
from usct.parameterization.base import Parameterization
from usct.parameterization.field import Field
from usct.parameterization.fourier import FourierNetwork
from usct.parameterization.hybrid import Hybrid
from usct.parameterization.lossy import Lossy
from usct.parameterization.multigrid import MultiGrid
from usct.parameterization.pixel import PixelGrid
from usct.parameterization.siren import Siren
from usct.parameterization.spectrum import RadialSpectrum
from usct.parameterization.tailored import TailoredGrid
from usct.reconstruction import TrainedField

VERSION = 1
"""Of what the arrays and settings mean; raised whenever the same ones would make another image."""

REPRESENTATIONS: dict[str, type[PixelGrid] | type[Field]] = {
    "pixel": PixelGrid,
    "tailored": TailoredGrid,
    "fourier": FourierNetwork,
    "siren": Siren,
    "multigrid": MultiGrid,
    "hybrid": Hybrid,
}

# Arrays and bounds are kept beside the settings; a kernel shapes the gradient alone, never the image.
_NOT_SETTINGS = ("self", "start", "background", "region", "bounds", "spectrum", "kernel")
_DTYPES = {"float32": torch.float32, "float64": torch.float64}
_STRIP = 2**17
"""Points to evaluate at once: a network needs a few hundred numbers for each."""

_LATER = {"n_tissues": 1}
"""Settings that older files do not name, and what holds there."""

_ONCE_SHARED = {"amplitude", "shaping"}
"""Arrays that older files hold once for all tissues."""

Setting = bool | int | float | str | None


def name_of(parameterization: Parameterization) -> str:
    """Name of a representation, by its class.

    Raises:
        ValueError: If the class is none of `REPRESENTATIONS`.
    """
    for name, made_by in REPRESENTATIONS.items():
        if type(parameterization) is made_by:
            return name
    raise ValueError(
        f"a {type(parameterization).__name__} has no name to be saved by; use one of {', '.join(REPRESENTATIONS)}"
    )


def trained(parameterization: Parameterization) -> TrainedField:
    """What makes the sound speed, as arrays in host memory and plain settings.

    Raises:
        ValueError: If the class is none of `REPRESENTATIONS`.
    """
    if isinstance(parameterization, Lossy):
        parameterization = parameterization.speed
    name = name_of(parameterization)
    assert isinstance(parameterization, PixelGrid | Field)  # as all of REPRESENTATIONS are
    low, high = parameterization.bounds
    return TrainedField(
        name=name,
        version=VERSION,
        grid=parameterization.grid,
        bounds=(float(low), float(high)),
        settings={key: _plain(getattr(parameterization, key)) for key in _hints(name)},
        arrays={key: v.detach().cpu().clone() for key, v in parameterization.state_dict().items()},
        parameters=frozenset(key for key, _ in parameterization.named_parameters()),
    )


def restored(field: TrainedField) -> Parameterization:
    """Build a representation anew from its arrays; its medium is the same to the bit, on any grid.

    Raises:
        ValueError: If the name is unknown, the version is another, a setting is impossible, or the arrays are not
            finite, not all there, or of another shape or type than the settings say. One sentence without its
            full stop, so that the file's name can be put before it.
    """
    _check_kind(field)
    settings = _checked_settings(field)
    region = _checked_region(field)
    start = Medium.homogeneous(field.grid, 1500.0)  # any; the true one is among the arrays
    made_by: Any = REPRESENTATIONS[field.name]  # each has settings of its own, which have just been checked
    if made_by is TailoredGrid:
        _check_tissues(field, settings)
        nothing = torch.zeros(1, dtype=torch.float64)
        settings["spectrum"] = RadialSpectrum(nothing, nothing)  # likewise
    try:
        with _NoLargerDraws(max(v.numel() for v in field.arrays.values())):
            built: Parameterization = made_by(start, region, field.bounds, **settings)
    except (OverflowError, ZeroDivisionError, RuntimeError) as error:
        raise ValueError(f"the field's settings are impossible ({' '.join(str(error).split())})") from error
    arrays = dict(field.arrays)
    if "cell_bounds" in arrays:
        built.bound(_checked_map(field, "cell_bounds", (2, *field.grid.shape)))
    if "freedom" in arrays:
        built.hold(_checked_map(field, "freedom", field.grid.shape))
    expected = built.state_dict()
    for key in _ONCE_SHARED & arrays.keys() & expected.keys():
        if arrays[key].ndim + 1 == expected[key].ndim and arrays[key].shape == expected[key].shape[1:]:
            arrays[key] = arrays[key].expand(expected[key].shape)
    for key in sorted(expected.keys() | arrays.keys()):
        _check_array(key, arrays.get(key), expected.get(key))
    built.load_state_dict(arrays)
    return built


@torch.no_grad()
def sampled(
    parameterization: Parameterization, grid: Grid, on_progress: Callable[[float], None] | None = None
) -> Medium:
    """The sound speed on a grid of any size, evaluated in strips of rows so that memory stays small.

    Args:
        parameterization: The field.
        grid: Where it is wanted.
        on_progress: Called before each strip, where there is more than one, with the share that is done.

    Raises:
        ValueError: If the field gives values that are no sound speed.
    """
    n_rows = grid.shape[0]
    # Never a strip of one row: its spacing, which decides on smoothing, could not be told from its ends.
    rows_each = max(2, _STRIP * n_rows // grid.n_cells)
    n_strips = max(1, n_rows // rows_each)
    if n_strips == 1:
        return parameterization(grid)
    ends = [n_rows * n // n_strips for n in range(n_strips + 1)]
    strips = []
    for first, end in zip(ends[:-1], ends[1:], strict=True):
        if on_progress is not None:
            on_progress(first / n_rows)
        origin = (grid.origin[0] + first * grid.spacing, *grid.origin[1:])
        strip = Grid((end - first, *grid.shape[1:]), grid.spacing, origin)
        strips.append(parameterization(strip).sound_speed.cpu())
    return Medium(grid, torch.cat(strips))


class _NoLargerDraws(TorchFunctionMode):
    """Refuse to draw first weights larger than the arrays that are to replace them.

    A file's settings may claim a network that no memory holds; the claim ends here, before it is believed.
    """

    def __init__(self, largest: int) -> None:
        super().__init__()
        self.largest = largest

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in (torch.rand, torch.randn) and math.prod(args) > self.largest:
            raise ValueError(
                f"the field's settings ask for {math.prod(args)} numbers where its arrays hold {self.largest}; "
                "reconstruct again"
            )
        return func(*args, **(kwargs or {}))


def _hints(name: str) -> dict[str, Any]:
    """Names and types of the settings of a representation, in the order of its constructor."""
    constructor = REPRESENTATIONS[name].__init__
    types = get_type_hints(constructor)
    return {key: types[key] for key in inspect.signature(constructor).parameters if key not in _NOT_SETTINGS}


def _plain(value: Any) -> Setting:
    """A setting as JSON can hold it."""
    return str(value).removeprefix("torch.") if isinstance(value, torch.dtype) else value


def _check_kind(field: TrainedField) -> None:
    if field.version != VERSION:
        raise ValueError(
            f"the field was saved by another version of usct (field version {field.version}, this one reads "
            f"{VERSION}); reconstruct again, or use the usct that wrote it"
        )
    if field.name not in REPRESENTATIONS:
        raise ValueError(
            f"the field is of the unknown representation '{field.name}'; use one of {', '.join(REPRESENTATIONS)}"
        )


def _checked_settings(field: TrainedField) -> dict[str, Any]:
    """The settings as the constructor takes them."""
    hints = _hints(field.name)
    settings: dict[str, Any] = {k: v for k, v in _LATER.items() if k in hints} | dict(field.settings)
    for key in sorted(hints.keys() ^ settings.keys()):
        what = "is missing" if key in hints else "is unknown"
        raise ValueError(f"the setting '{key}' of the {field.name} field {what}; reconstruct again")
    most = sum(v.numel() for v in field.arrays.values())
    for key, hint in hints.items():
        value = settings[key]
        # Every number of units, layers or features is that of an axis or of arrays; the other two are no sizes.
        too_many = (
            hint is int and key not in ("seed", "table_size") and isinstance(value, int) and value > most
        )
        if too_many or not _fits(value, hint):
            raise ValueError(
                f"the setting '{key}' of the {field.name} field is {value!r}, which is impossible; "
                "reconstruct again"
            )
        if hint is torch.dtype:
            settings[key] = _DTYPES[str(value)]
    return settings


def _fits(value: Setting, hint: Any) -> bool:
    """Whether a plain value has the type that a constructor asks for."""
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if hint is torch.dtype:
        return value in _DTYPES
    if hint is bool:
        return isinstance(value, bool)
    if hint is int:
        # Torch takes seeds and sizes of 64 bits alone.
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return any(_fits(value, part) for part in get_args(hint)) or (
        value is None and type(None) in get_args(hint)
    )


def _checked_region(field: TrainedField) -> torch.Tensor:
    """The region, which every representation has; its shape vouches for the grid's."""
    region = field.arrays.get("region")
    if region is None or tuple(region.shape) != field.grid.shape or region.dtype != torch.bool:
        found = "none" if region is None else f"{tuple(region.shape)} of {_plain(region.dtype)}"
        raise ValueError(
            f"the field's array 'region' must be boolean of shape {field.grid.shape}, got {found}; "
            "reconstruct again"
        )
    return region


def _checked_map(field: TrainedField, key: str, shape: tuple[int, ...]) -> torch.Tensor:
    """An array that a field is told of before it takes up the rest."""
    values = field.arrays[key]
    if tuple(values.shape) != shape or values.dtype != torch.float64 or not bool(values.isfinite().all()):
        raise ValueError(
            f"the field's array '{key}' must be finite, of shape {shape} and float64, got {tuple(values.shape)} of "
            f"{_plain(values.dtype)}; reconstruct again"
        )
    return values


def _check_tissues(field: TrainedField, settings: Mapping[str, Any]) -> None:
    """Refuse a number of tissues that the parameters do not have, before memory is taken for it."""
    white, count = field.arrays.get("white"), settings["n_tissues"]
    if white is None or white.ndim != 2 + (count > 1) or (count > 1 and len(white) != count):
        raise ValueError(
            f"the field's array 'white' does not hold the parameters of {count} tissues; reconstruct again"
        )


def _check_array(key: str, found: torch.Tensor | None, expected: torch.Tensor | None) -> None:
    """Refuse an array that is missing, is too many, or cannot be what the settings say."""
    if expected is None or found is None:
        what = "unknown" if expected is None else "missing"
        raise ValueError(f"the field's array '{key}' is {what}; reconstruct again")
    if found.shape != expected.shape or found.dtype != expected.dtype:
        raise ValueError(
            f"the field's array '{key}' must have shape {tuple(expected.shape)} of {_plain(expected.dtype)}, "
            f"got {tuple(found.shape)} of {_plain(found.dtype)}; reconstruct again"
        )
    if not bool(torch.isfinite(found).all()):
        raise ValueError(f"the field's array '{key}' holds values that are not finite; reconstruct again")
