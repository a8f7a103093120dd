"""The verb that writes for other programs: export."""

from pathlib import Path
from typing import Annotated

import typer

from usct.cli.paths import prepare_output
from usct.errors import InputError


def export(
    source: Annotated[Path, typer.Argument(help="A result, phantom, diagnosis or scan.", metavar="FILE")],
    target: Annotated[
        Path,
        typer.Argument(
            help="File to write (.nii, .nii.gz, .zarr, .csv, .png or .dcm), or a folder for DICOM.",
            metavar="OUT",
        ),
    ],
    quantity: Annotated[
        str, typer.Option(help="sound_speed, attenuation, density or standard_deviation.")
    ] = "sound_speed",
    subject: Annotated[
        str, typer.Option(help="For DICOM: pseudonym of the subject; nobody's if left out.")
    ] = "",
    body_part: Annotated[str, typer.Option(help="For DICOM: BREAST, HEAD and so on.")] = "",
    laterality: Annotated[str, typer.Option(help="For DICOM: L or R.")] = "",
) -> None:
    """Write images for other programs, or everything as a DICOM study in a folder; the ending chooses the format.

    [bold]Examples:[/bold]  usct export result.h5 image.nii.gz
              usct export result.h5 study --body-part BREAST --laterality L
    """
    from usct import io
    from usct.acquisition import Acquisition
    from usct.io.dicom import Study, write_ring
    from usct.io.export import ending_of, write_map
    from usct.io.export_study import maps_of, write_study

    thing = io.load(source)
    study = Study(subject, body_part.upper(), laterality.upper())
    if target.suffix == "":
        if target.is_file():
            raise InputError(
                f"{target}: this is a file; give a folder for DICOM, or an ending for another format."
            )
        for path in write_study(thing, target, study, source):
            typer.echo(f"Wrote {path}")
        return
    ending = ending_of(target)
    if ending != ".zarr":
        prepare_output(target, source)
    if ending == ".dcm" and isinstance(thing, Acquisition):
        for path in write_ring(thing, target, study):
            typer.echo(f"Wrote {path}")
        return
    grid, maps = maps_of(thing, source)
    if quantity not in maps:
        raise InputError(f"{source}: there is no {quantity} in the file; it holds {', '.join(maps)}.")
    write_map(target, maps[quantity], grid, quantity)
    typer.echo(f"Wrote {target}")
