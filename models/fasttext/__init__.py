"""fastText models: `load` one and `embed` token lists."""

from pathlib import Path

from models.fasttext.format import read_layout
from models.fasttext.library import LibraryEmbedder

__all__ = ["load"]


def load(path: str | Path) -> LibraryEmbedder:
    """Load a fastText .bin file, checked before native code sees it.

    Raises:
        ModelError: the file is missing, cut short, or no fastText model.
    """
    file = Path(path)
    read_layout(file)
    return LibraryEmbedder(file)
