"""Loaded models refuse to be pickled: what they hold is in a file, and that is what is shipped."""

import pickle
from typing import NoReturn

from models.errors import ModelError


class NotPickledError(ModelError, pickle.PickleError):
    """A loaded model was to be pickled.

    Also a PickleError, because those reach the user as they are, where Spark turns every other
    exception into a PicklingError of its own.
    """


class Unpicklable:
    """Base of what is loaded in each process instead of being pickled."""

    def __reduce__(self) -> NoReturn:
        raise NotPickledError(
            "a loaded model is not pickled, broadcast or closed over. Ship its file: on the driver "
            "`handle = models.ship(spark.sparkContext, path, kind='fasttext')`, in the UDF "
            "`models.load_shipped(handle)`, which loads it once in each process"
        )
