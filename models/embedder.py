"""The interface of an embedder, and the call that loads a shipped one in any process."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, cast

import numpy as np
import numpy.typing as npt

from models import resident, shipping
from models.errors import ModelError
from models.handle import Handle
from models.resident import LoadCounter

if TYPE_CHECKING:
    from models.fasttext import Blend


class Embedder(Protocol):
    """Turns texts into vectors.

    To use another kind of model, write a loader that makes such an object from a path, ship the
    path with `models.shipping.ship(context, path, kind="mine")`, and load it in the executors with
    `resident.get(handle.key, lambda: my_loader(shipping.local_path(handle)))`.

    Attributes:
        dim: length of a vector.
        reads: "tokens" if `embed` takes lists of tokens, "text" if it takes lists of text fields.
    """

    dim: int
    reads: Literal["tokens", "text"]

    def embed(self, token_lists: Sequence[Sequence[str]]) -> npt.NDArray[np.float32]:
        """Return the vector of each list: float32[n, dim], a zero row where a list has none."""


def _fasttext(path: Path) -> Embedder:
    from models import fasttext

    return fasttext.load(path)


def _onnx(path: Path) -> Embedder:
    from models import onnx

    return onnx.load(path)


def _static(path: Path) -> Embedder:
    from models import static

    return static.load(path)


_LOADERS: dict[str, Callable[[Path], Embedder]] = {
    "fasttext": _fasttext,
    "onnx": _onnx,
    "static": _static,
}


def load_shipped(
    handle: Handle, counter: LoadCounter | None = None, blend: "Blend | None" = None
) -> Embedder:
    """Return the embedder of a shipped model, which is loaded once in each process.

    Args:
        handle: the model.
        counter: counts this call if it loads the model.
        blend: how vectors are made of a fastText model; None for its own means.

    Raises:
        ModelError: the model is not on this host, can't be loaded, or is of an unknown kind; or
            it has no statistics, which a blend needs.
    """
    if handle.kind not in _LOADERS:
        raise ModelError(f"{handle.name}: unknown kind {handle.kind}; known: {', '.join(_LOADERS)}")
    load = _LOADERS[handle.kind]
    model = resident.get(handle.key, lambda: load(shipping.local_path(handle)), counter)
    return model if blend is None else _blended(handle, model, blend)


def _blended(handle: Handle, model: Embedder, blend: "Blend") -> Embedder:
    from models import fasttext

    if isinstance(model, fasttext.LibraryEmbedder):
        raise ModelError(f"{handle.name}: is used by the library, which gives means only; pack it")
    key = (handle.key, blend)
    if isinstance(model, fasttext.Embedder):
        return resident.get(key, lambda: fasttext.BlendEmbedder(model, blend))
    text_model = cast("fasttext.TextModel", model)
    return resident.get(key, lambda: fasttext.TextBlendEmbedder(text_model, blend))
