"""Loaded models refuse to be pickled: their data is in a file, and that file is shipped."""

import pickle
from typing import NoReturn

from models.errors import ModelError


class NotPickledError(ModelError, pickle.PickleError):
    """A program tried to pickle a loaded model.

    It is also a PickleError, because Spark passes those on to the user unchanged, while it turns
    every other exception into a PicklingError of its own.
    """


class Unpicklable:
    """Base of the classes that each process loads instead of unpickling."""

    def __reduce__(self) -> NoReturn:
        raise NotPickledError(
            "a loaded model is not pickled, broadcast or closed over. Ship its file: on the driver "
            "`handle = models.ship(spark.sparkContext, path, kind='fasttext')`, in the UDF "
            "`models.load_shipped(handle)`, which loads it once in each process"
        )
