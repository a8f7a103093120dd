"""The verbs that make start models: start skull."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from usct.cli.files import print_rows
from usct.cli.making import Output
from usct.cli.paths import load_phantom, prepare_hdf5
from usct.errors import InputError
from usct.units import MILLIMETRE

if TYPE_CHECKING:
    import numpy as np

    from usct.grid import Grid
    from usct.phantom import Phantom
    from usct.starting.skull.model import Head
    from usct.starting.skull.registration import Rigid

app = typer.Typer(help="Make a start model, such as a skull from CT.", no_args_is_help=True)


@app.callback()
def start() -> None:
    """Make a start model for 'usct reconstruct --start'."""


@app.command()
def skull(
    output: Output,
    ct: Annotated[
        Path | None, typer.Option(help="DICOM CT series of the head: its folder, or one file.")
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="A segmented head instead: labels (.nii, .mhd, .mha), or a phantom or map of usct."
        ),
    ] = None,
    names: Annotated[
        Path | None, typer.Option(help="What the labels are: a text file of lines 'number tissue'.")
    ] = None,
    height_mm: Annotated[
        float | None, typer.Option(help="Of the slice above the lowest in mm; none: the middle.")
    ] = None,
    mapping: Annotated[
        str, typer.Option(help="Published mapping of bone: kplan, aubry2003, marsac2017 or mcdannold2020.")
    ] = "kplan",
    landmarks: Annotated[
        Path | None,
        typer.Option(help="CSV of rows y_head,x_head,y_ring,x_ring in mm; the head from its slice's middle."),
    ] = None,
    surface: Annotated[
        Path | None,
        typer.Option(help="CSV of points y,x on the scalp in the ring's mm; instead of landmarks."),
    ] = None,
    volume: Annotated[
        bool, typer.Option("--volume", help="All slices, to simulate in 3-D; that of the height is z = 0.")
    ] = False,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="The head lies in the ring already; move nothing.")
    ] = False,
    water_sound_speed: Annotated[
        float, typer.Option(min=1350, max=1600, help="Around the head in m/s.")
    ] = 1500.0,
    densest_bone_hu: Annotated[
        float, typer.Option(min=500, max=6000, help="HU of bone without pores, on this scanner.")
    ] = 2000.0,
    radius_mm: Annotated[float, typer.Option(min=20, max=500, help="Half the width of the model.")] = 115.0,
    spacing_mm: Annotated[float, typer.Option(min=0.1, max=5, help="Size of its cells.")] = 0.5,
) -> None:
    """Make a head's start model: the skull from CT or from labels, placed in the ring; brain and scalp uniform.

    Of a CT the skull is found, and its Hounsfield units are mapped. Labels get the tissue table's means. Without
    landmarks or surface the middle of the head is put in the middle of the ring.

    [bold]Example:[/bold]

      usct start skull --ct ct/ --height-mm 60 -o start.h5
      usct start skull --labels head.nii.gz --names mida.txt --landmarks marks.csv -o start.h5
      usct start skull --ct ct/ --height-mm 60 --volume --spacing-mm 1 -o volume.h5
      usct reconstruct scan.h5 --start start.h5 --preset transcranial -o result.h5
    """
    from usct import io
    from usct.grid import Grid
    from usct.starting.skull.model import placed

    if (ct is None) == (labels is None):
        raise InputError("the head is missing or given twice; give --ct or --labels.")
    if (landmarks is not None) + (surface is not None) + in_place > 1:
        raise InputError("the head's place is told twice; give one of --landmarks, --surface and --in-place.")
    prepare_hdf5(output, ct, labels, names, landmarks, surface)
    source = ct or labels
    target = Grid.covering(radius_mm * MILLIMETRE, spacing_mm * MILLIMETRE)
    try:
        series = _of_ct(ct, mapping, densest_bone_hu, volume) if ct is not None else _of_labels(source, names)
        height = series.middle if height_mm is None else height_mm * MILLIMETRE
        head = series.head_at(height, True)
        motion, how = _motion(head, landmarks, surface, in_place)
        if volume:
            made = _stacked(series, height, motion, target, water_sound_speed)
        else:
            made = placed(head, motion, target, water_sound_speed)
    except ValueError as error:
        raise InputError(f"{source}: {error}.") from None
    made.provenance["registration"] = how
    if landmarks is None and surface is None:
        made.provenance["registration_residual"] = "unknown: nothing was measured in the ring"
    io.save(made, output)
    cells = " x ".join(str(n) for n in made.medium.grid.shape)
    typer.echo(f"Wrote {output}: a head of {cells} cells of {spacing_mm:g} mm")
    print_rows([(key.replace("_", " ").capitalize(), value) for key, value in made.provenance.items()])


@dataclass(frozen=True)
class _Series:
    """Slices of a head.

    Attributes:
        head_at: The head in the slice at a height, and whether its bone must enclose a brain.
        highest: Height of the last slice above the first [m].
        middle: Of the slice that is taken where none is asked for [m].
    """

    head_at: "Callable[[float, bool], Head]"
    highest: float
    middle: float


def _of_ct(path: Path, mapping: str, densest_bone_hu: float, all_slices: bool) -> _Series:
    """Slices of the largest series in Hounsfield units, without table and holder where all of them count."""
    from usct.io.dicom import read_dicom
    from usct.starting.skull.model import body_of, head_of, slice_of

    layers = [layer for layer in read_dicom(path) if layer.unit in ("HU", "[hnsf'U]") and not layer.rgb]
    if not layers:
        raise InputError(f"{path}: holds no CT in Hounsfield units; give the folder of a CT series.")
    layer = max(layers, key=lambda each: each.values.size)
    volume, spacing = layer.values, layer.spacing
    if volume.ndim == 2:
        volume, spacing = volume[None], (1.0, *spacing)
    volume = body_of(volume) if all_slices else volume

    def head_at(height: float, whole: bool) -> "Head":
        with _height():
            plane = slice_of(volume, (spacing[0], spacing[1], spacing[2]), height)
        return head_of(plane, mapping, densest_bone_hu, whole=whole)

    highest = spacing[0] * (len(volume) - 1)
    return _Series(head_at, highest, 0.5 * highest)


def _of_labels(path: Path | None, names: Path | None) -> _Series:
    """Slices of a volume of labels, or of a phantom."""
    from usct.phantom.label_maps import phantom_from_labels
    from usct.starting.skull.labels import skull_of, slice_of_head

    assert path is not None
    if names is None:
        head = load_phantom(path)
    else:
        from usct.io.label_volumes import read_label_names, read_label_volume

        values, spacing = read_label_volume(path)
        head = phantom_from_labels(values, spacing, read_label_names(names), "itrusst", "head")

    def head_at(height: float, whole: bool) -> "Head":
        with _height():
            plane = slice_of_head(head, height)
        return skull_of(plane, whole)

    grid = head.medium.grid
    n_slices = grid.shape[0] if grid.n_dims == 3 else 1
    return _Series(head_at, grid.spacing * (n_slices - 1), grid.spacing * (n_slices // 2))


@contextmanager
def _height() -> Iterator[None]:
    """A slice that there is not is a setting to be mended."""
    try:
        yield
    except ValueError as error:
        raise InputError(f"--height-mm: {error}; give one inside.") from None


def _stacked(series: _Series, height: float, motion: "Rigid", plane: "Grid", water: float) -> "Phantom":
    """All slices, as far up and down as the model is wide."""
    from usct.starting.skull.volume import stacked

    reach = -plane.origin[0]
    ends = max(0.0, height - reach), min(series.highest, height + reach)
    return stacked(lambda h: series.head_at(h, False), motion, plane, (ends[0], height, ends[1]), water)


def _motion(
    head: "Head", landmarks: Path | None, surface: Path | None, in_place: bool
) -> tuple["Rigid", str]:
    """From the head to the ring, and how it was found."""
    import numpy as np

    from usct.starting.skull.model import outline
    from usct.starting.skull.registration import Rigid, register_landmarks, register_surface

    if in_place:
        return Rigid.translation(np.zeros(2)), "none: the head lies in the ring already"
    if landmarks is not None:
        pairs = _points(landmarks, 4)
        return register_landmarks(pairs[:, :2], pairs[:, 2:]), f"{len(pairs)} landmarks"
    rim = outline(head.labels, head.grid)
    if surface is not None:
        points = _points(surface, 2)
        return register_surface(rim, points), f"{len(points)} points on the scalp"
    middle = 0.5 * (rim.min(axis=0) + rim.max(axis=0))
    return Rigid.translation(-middle), "none: middle of the head put in the middle of the ring"


def _points(path: Path, n_columns: int) -> "np.ndarray":
    """Rows of a CSV file in mm, as metres; a first row of names is passed over."""
    import numpy as np

    try:
        lines = [line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines()]
        rows = [line.split(",") for line in lines if line]
        if rows and any(cell.strip().replace("_", "").isalpha() for cell in rows[0]):
            rows = rows[1:]
        values = np.array([[float(cell) for cell in row] for row in rows])
    except (UnicodeDecodeError, ValueError):
        values = np.empty(0)
    if values.ndim != 2 or values.shape[1] != n_columns or not np.isfinite(values).all():
        raise InputError(
            f"{path}: is not a table of {n_columns} numbers a row; write them in mm with commas."
        )
    metres: np.ndarray = values * MILLIMETRE
    return metres
