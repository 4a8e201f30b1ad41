"""What the tasks of the nightly DAG are given: plain Python, without Airflow."""

STAGES = ("ingest", "tokenize", "train", "embed", "index", "neighbors", "publish")
# One run for all tasks of a night, and for their retries: run.json is then that of the whole night.
# `run_after` is the end of the data interval, and is there too where a run was started by hand.
RUN_ID = "nightly-{{ dag_run.run_after | ts_nodash }}"
CONFIG = "/etc/nitamono/nitamono.toml"
ENTRY = "local:///opt/nitamono/entry/nitamono.py"


def arguments(stage: str, run_id: str = RUN_ID, config: str = CONFIG) -> list[str]:
    """The arguments of nitamono for one stage of a night.

    Each stage has its verb. But the verb `train` makes a new model whenever it is called, and
    training is not nightly: `run --to train` takes the store's current model, and trains one only
    where there is none, or where the catalogue has doubled.
    """
    verb = ["run", "--from", "tokenize", "--to", "train"] if stage == "train" else [stage]
    # A run elsewhere that died holds the store's lock for 5 minutes more.
    wait = ["--wait", "600"] if stage == "publish" else []
    return [*verb, "--run-id", run_id, *wait, "--config", config]
