"""Running the pipeline from a notebook."""

import io
from typing import TYPE_CHECKING

from pipeline.api.inputs import ConfigSource, Settings, read_config
from pipeline.api.session import find_session, working_on
from pipeline.runs import summary
from pipeline.runs.request import RunRequest
from pipeline.runs.summary import Result
from pipeline.stages import NAMES
from pipeline.store.store import Store
from pipeline.terminal.progress import Progress

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def run(
    config: ConfigSource = "nitamono.toml",
    settings: Settings | None = None,
    *,
    run_id: str = "",
    first: str = NAMES[0],
    last: str = NAMES[-1],
    publish: bool = False,
    retrain: bool = False,
    full: bool = False,
    as_of: str = "",
    wait: float = 0.0,
    date: str = "",
    wait_for_input: float = 0.0,
    progress: bool = True,
    spark: "SparkSession | None" = None,
) -> Result:
    """Run the stages that are not done yet and publish the table, as `nitamono run` does.

    Args:
        config: a file, a mapping or a Config.
        settings: changes to it, as --set; a run with changes is an experiment and does not publish.
        run_id: the run's name; else the time of its start.
        first: the stage to start with; what comes before must be done.
        last: the stage to stop after.
        publish: move LATEST also after settings or as_of.
        retrain: train a new model instead of using the store's current one.
        full: do not build on an earlier run's tables; model and quantiser stay.
        as_of: use the catalogue and the model of that run.
        wait: how long to wait for another run that publishes, in seconds.
        date: the night that {date} in catalogue.path or .query stands for; else today.
        wait_for_input: how long to wait for a catalogue that is not complete, in seconds.
        progress: whether progress is shown on stderr.
        spark: the session; else the running one, else a new one.

    Returns:
        its run_id, published, version, path, recall, counts, tables and stages.

    Raises:
        UsageError: the config or an argument is wrong.
        InputError: the catalogue can't be used; nothing is published.
        GateError: the table was written and held back.
        StageError: a stage failed.
        LockedError: another run publishes.
    """
    resolved, assignments = read_config(config, settings)
    request = RunRequest(
        first=first,
        last=last,
        publish=publish,
        retrain=retrain,
        full=full,
        as_of=as_of,
        wait=wait,
        run_id=run_id,
        date=date,
        wait_for_input=wait_for_input,
        assignments=tuple(assignments),
    )
    with working_on(find_session(resolved, spark), "run"):
        outcome = request.run(resolved, Progress(None if progress else io.StringIO()))
        return summary.result(Store.of(resolved), outcome)
