"""A quick start for processes that only read."""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType


def skip_pandas() -> None:
    """Keep pyarrow from importing pandas, which it does for its first array if pandas is there.

    The import takes half a second, and reading a version needs no pandas. Nothing is changed in a
    process that has loaded pandas or Spark already, a notebook's for instance.
    """
    if {"pandas", "pyspark"} & sys.modules.keys():
        return
    import pyarrow as pa

    finder = _PandasBlocker()
    sys.meta_path.insert(0, finder)
    try:
        pa.array([0])
    finally:
        sys.meta_path.remove(finder)


class _PandasBlocker(MetaPathFinder):
    """Lets no import of pandas succeed."""

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> None:
        """Leave every module but pandas to the other finders.

        Raises:
            ModuleNotFoundError: the module is pandas.
        """
        if fullname == "pandas":
            raise ModuleNotFoundError("pandas is left out")
