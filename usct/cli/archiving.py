"""The verbs about archives of images: pacs send, pacs fetch."""

from pathlib import Path
from typing import Annotated

import typer

pacs = typer.Typer(
    name="pacs", help="Send DICOM files to an archive (PACS), and fetch studies.", no_args_is_help=True
)
Address = Annotated[str, typer.Argument(help="Where the archive listens.", metavar="TITLE@HOST:PORT")]


@pacs.command()
def send(
    source: Annotated[Path, typer.Argument(help="A DICOM file or a folder of them.", metavar="PATH")],
    archive: Address,
) -> None:
    """Send files to an archive, unencrypted.

    [bold]Example:[/bold]  usct pacs send study ORTHANC@localhost:4242
    """
    from usct.io.dicom import network

    place = network.Archive.of(archive)
    typer.echo(f"Sent {network.send(source, place)} objects to {archive}")


@pacs.command()
def fetch(
    archive: Address,
    study: Annotated[str, typer.Argument(help="Its StudyInstanceUID.", metavar="UID")],
    folder: Annotated[Path, typer.Argument(help="For the files.")],
) -> None:
    """Fetch a study from an archive, unencrypted.

    [bold]Example:[/bold]  usct pacs fetch ORTHANC@localhost:4242 1.2.826.0.1 study
    """
    from usct.io.dicom import network

    for path in network.fetch(study, folder, network.Archive.of(archive)):
        typer.echo(f"Wrote {path}")
