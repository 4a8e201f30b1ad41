"""nitamono in a notebook: what the verbs do, on Spark DataFrames in and out.

    from pipeline import api

    done = api.run("nitamono.toml")
    api.similar_to("nitamono.toml", "SKU-00871").show()

A config is a TOML file's path, a mapping of settings ({"store": {"path": ...}, ...}), or a Config;
NITAMONO_SECTION_KEY in the environment overrides the first two. `settings` changes some of it, as
--set does: {"neighbors.k": 20}.

Importing this starts nothing. A function that is given no session uses the live one, and starts
one with [spark] where there is none; it stays, and none is ever stopped here. What goes wrong is
an error of pipeline.errors, whose text says what to do.
"""

from pipeline.api.measured import evaluate
from pipeline.api.published import diff, run, similar_to, table
from pipeline.api.vectors import embed, neighbors
from pipeline.runs.summary import Result as Run

__all__ = ["Run", "diff", "embed", "evaluate", "neighbors", "run", "similar_to", "table"]
