"""Archives of data sets on the web: downloaded once, checked, unpacked."""

import logging
import shutil
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pooch

from fedkd.errors import UserError


@dataclass(frozen=True)
class Archive:
    """A zip file on the web.

    Attributes
    ----------
    url : str
        Where it is.
    sha256 : str
        Its checksum.
    folder : str
        The folder inside it that holds the files.
    """

    url: str
    sha256: str
    folder: str

    def download(self, licence: str, cache: Path | None = None) -> Path:
        """Download once, check, unpack, and return the folder with the files.

        Parameters
        ----------
        licence : str
            Terms of use, which are shown before the download.
        cache : Path, optional
            Where it is kept; the user's cache folder by default.

        Raises
        ------
        UserError
            The archive cannot be had, or its checksum is another one.
        """
        target = cache or Path(pooch.os_cache("fedkd"))
        folder = target / self.folder
        if folder.is_dir():
            return folder
        logging.getLogger("fedkd").warning("downloading %s; %s", self.url, licence)
        try:
            path = pooch.retrieve(self.url, known_hash=f"sha256:{self.sha256}", path=target, progressbar=False)
            _unpack(Path(path), folder)
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise UserError(
                f"{self.url} cannot be downloaded into {target} ({error}); try again, "
                "or set data.path to a folder that holds the unpacked archive"
            ) from None
        return folder


def _unpack(path: Path, folder: Path) -> None:
    """Unpack beside the folder and rename, so that a folder that exists is complete."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        with zipfile.ZipFile(path) as packed:
            packed.extractall(scratch)
        shutil.move(Path(scratch) / folder.name, folder)
