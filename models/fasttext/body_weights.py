"""How much descriptions and further fields count beside the title."""

import numpy as np

from models.fasttext.row_sums import Floats

# Upper limit of the length of a description or a field relative to the title's, however many words
# it has.
_MAX_RATIO = np.float32(2)


def limited_weights(body_weight: float, body_norms: Floats, title_norms: Floats) -> Floats:
    """Return the weights of descriptions, or of a field, relative to their titles: float32[n].

    Args:
        body_weight: the weight of a word.
        body_norms: float32[n], the lengths of the sums over their words.
        title_norms: float32[n], those of the titles.
    """
    weight = np.float32(body_weight)
    with np.errstate(divide="ignore", invalid="ignore"):
        limit = _MAX_RATIO * title_norms / body_norms
    return np.asarray(np.where((title_norms > 0) & (limit < weight), limit, weight))
