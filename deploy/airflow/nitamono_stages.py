"""The stages and the arguments of the nightly DAG's tasks: plain Python, without Airflow."""

STAGES = ("ingest", "tokenize", "train", "embed", "index", "neighbors", "publish")
# All tasks of a night, and their retries, have the same run id, so that one run.json describes the
# night. `run_after` is the end of the data interval; a run that is started by hand has it too.
RUN_ID = "nightly-{{ dag_run.run_after | ts_nodash }}"
CONFIG = "/etc/nitamono/nitamono.toml"
ENTRY = "local:///opt/nitamono/entry/nitamono.py"


def arguments(stage: str, run_id: str = RUN_ID, config: str = CONFIG) -> list[str]:
    """The arguments of nitamono for one stage of a night.

    Each stage has a verb. The verb `train`, however, trains a new model whenever it is called, and
    a model is not trained every night: `run --to train` takes the store's current model, and trains
    one only if there is none, or if the catalogue has doubled.
    """
    verb = ["run", "--from", "tokenize", "--to", "train"] if stage == "train" else [stage]
    # The store's lock stays for 5 minutes when its holder on another machine dies.
    wait = ["--wait", "600"] if stage == "publish" else []
    return [*verb, "--run-id", run_id, *wait, "--config", config]
