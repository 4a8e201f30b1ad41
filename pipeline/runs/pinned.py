"""`--as-of`: the catalogue and the model of an earlier run, to be used again."""

from collections.abc import Mapping

from pipeline import catalogue
from pipeline.errors import UsageError
from pipeline.stages.ingest import stage as ingest
from pipeline.stages.train import stage as train
from pipeline.store import run_records
from pipeline.store.stage_record import StageRecord
from pipeline.store.store import Store

PINNED_STAGES = (ingest.NAME, train.NAME)


def pinned_records(store: Store, run_id: str, further: Mapping[str, str]) -> dict[str, StageRecord]:
    """The records of an earlier run's ingest and train, by stage.

    Args:
        store: the store.
        run_id: the earlier run.
        further: the types of the further columns of the config.

    Raises:
        UsageError: there is no such run, it ended before these stages, their outputs are gone, or
            its items have other further columns.
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
    there = catalogue.further_of(records[ingest.NAME].inputs["catalogue"])
    if there != further:
        raise UsageError(
            f"--as-of {run_id}: its items have the further columns {_named(there)}, and the config "
            f"has {_named(further)}; leave --as-of out, or set catalogue.columns and .types as then"
        )
    return records


def _named(further: Mapping[str, str]) -> str:
    return ", ".join(f"{name} ({kind})" for name, kind in further.items()) or "none"
