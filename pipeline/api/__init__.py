"""nitamono in a notebook: the verbs as functions that take and return Spark DataFrames.

    from pipeline import api

    done = api.run("nitamono.toml")
    api.similar_to("nitamono.toml", "SKU-00871").show()

A config is a TOML file's path, a mapping of settings ({"store": {"path": ...}, ...}), or a Config;
NITAMONO_SECTION_KEY in the environment overrides the first two. `settings` changes some settings,
as --set does: {"neighbors.k": 20}.

Importing this module starts nothing. A function without a session uses the running one; if there is
none, it starts one with [spark], which stays. No session is ever stopped here. Failures are errors
of pipeline.errors, whose texts say what to do.
"""

from pipeline.api.evaluation import evaluate
from pipeline.api.runs import run
from pipeline.api.tables import diff, similar_to, table
from pipeline.api.vectors import embed, neighbors
from pipeline.runs.summary import Result as Run

__all__ = ["Run", "diff", "embed", "evaluate", "neighbors", "run", "similar_to", "table"]
