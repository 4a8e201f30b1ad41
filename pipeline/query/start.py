"""How a process that only reads starts soon."""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType


def skip_pandas() -> None:
    """Let pyarrow do without pandas, which it imports for its first array if it is there.

    That takes half a second, and nothing here has to do with pandas. It is left alone in a process
    that has pandas or Spark already, a notebook's for instance.
    """
    if {"pandas", "pyspark"} & sys.modules.keys():
        return
    import pyarrow as pa

    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        pa.array([0])
    finally:
        sys.meta_path.remove(finder)


class _NoPandas(MetaPathFinder):
    """Finds no pandas."""

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> None:
        """None, which leaves a module to others; but for pandas there are none.

        Raises:
            ModuleNotFoundError: it is pandas.
        """
        if fullname == "pandas":
            raise ModuleNotFoundError("pandas is left out")
