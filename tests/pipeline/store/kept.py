"""The kept stores: small ones that earlier code has made; see tests/kept_stores/README.md."""

import tarfile
from pathlib import Path

from pipeline.config import reading
from pipeline.config.sections import Config
from pipeline.store.store import Store

FOLDER = Path(__file__).parents[2] / "kept_stores"
NAMES = sorted(path.name.removesuffix(".tar.xz") for path in FOLDER.glob("*.tar.xz"))
# What 0.2.0 wrote into its run.json.
SECRET = "no-secret-but-looks-like-one"  # noqa: S105 - it says so


class KeptStore:
    """A kept store, unpacked.

    Attributes:
        folder: where it, its config and its catalogues are.
        file: the config.
    """

    def __init__(self, name: str, folder: Path) -> None:
        with tarfile.open(FOLDER / f"{name}.tar.xz") as tar:
            tar.extractall(folder, filter="data")
        self.folder, self.file = folder, folder / "nitamono.toml"
        # Settings that hold secrets are refused now.
        text = self.file.read_text(encoding="utf-8").partition("[spark]")[0]
        self.file.write_text(text, encoding="utf-8")

    def config(self, night: str = "night2", *sets: str) -> Config:
        """The config, with the catalogue of a night."""
        path = self.folder / f"{night}.csv"
        return reading.load(self.file, [f"catalogue.path={path}", *sets], {})

    def open(self) -> Store:
        """The store."""
        return Store.of(self.config(), make=False)

    def contents(self) -> dict[str, bytes]:
        """The content of every file of the store, by its path."""
        root = self.folder / "store"
        paths = [path for path in root.rglob("*") if path.is_file() and path.parent.name != "locks"]
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}
