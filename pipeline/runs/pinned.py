"""`--as-of`: the catalogue and the model of an earlier run, to be used again."""

from pipeline.errors import UsageError
from pipeline.stages.ingest import stage as ingest
from pipeline.stages.train import stage as train
from pipeline.store import run_records
from pipeline.store.stage_record import StageRecord
from pipeline.store.store import Store

PINNED_STAGES = (ingest.NAME, train.NAME)


def pinned_records(store: Store, run_id: str) -> dict[str, StageRecord]:
    """The records of an earlier run's ingest and train, by stage.

    Raises:
        UsageError: there is no such run, it ended before these stages, or their outputs are gone.
    """
    run = run_records.find_run(store, run_id)
    if run is None:
        raise UsageError(
            f"--as-of {run_id}: no such run in {store.root}; see {store.root / 'runs'}"
        )
    records = {}
    for stage in PINNED_STAGES:
        fingerprint = run.fingerprints.get(stage)
        if fingerprint is None:
            raise UsageError(f"--as-of {run_id}: that run ended before {stage}; choose another")
        record = store.find_record(stage, fingerprint)
        if record is None:
            raise UsageError(
                f"--as-of {run_id}: its output of {stage} is no longer in the store (collected by "
                "gc, or deleted); choose a later run"
            )
        records[stage] = record
    return records
