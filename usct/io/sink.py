"""A file for HDF5 to write to that never tells it of a full disk, which HDF5 2.0 answers with a segmentation fault."""

from pathlib import Path

Bytes = bytes | bytearray | memoryview


class Sink:
    """An unbuffered file that is written until its disk fails, and then takes everything and keeps nothing.

    Attributes:
        error: The first failure; whoever writes must look at it in the end.
    """

    def __init__(self, path: Path) -> None:
        """Open an existing file, to be written anew."""
        self._stream = path.open("w+b", buffering=0)
        self.error: OSError | None = None

    def __enter__(self) -> "Sink":
        """The file itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self._stream.close()

    def write(self, content: Bytes) -> int:
        """Write all of some bytes; the number that HDF5 is told is always theirs."""
        rest = memoryview(content)
        try:
            while self.error is None and len(rest):
                rest = rest[self._stream.write(rest) or 0 :]
        except OSError as error:
            self.error = error
        return len(content)

    def readinto(self, buffer: bytearray | memoryview) -> int:
        """Read into a buffer."""
        return self._stream.readinto(buffer) or 0

    def read(self, size: int = -1) -> bytes:
        """Read some bytes; h5py tells files from paths by this method."""
        return self._stream.read(size) or b""

    def truncate(self, size: int) -> int:
        """Make the file some bytes long."""
        try:
            if self.error is None:
                self._stream.truncate(size)
        except OSError as error:
            self.error = error
        return size

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place."""
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        """The place."""
        return self._stream.tell()

    def flush(self) -> None:
        """Nothing is buffered."""
