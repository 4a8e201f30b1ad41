"""The time that a small run takes: data_samples, all stages, Spark's start included.

Each run is a process of its own with a new store. Its CPU seconds are those of all its processes,
the JVM and the Python workers included. `--jobs` counts Spark's jobs by stage in a last run, which
is slower because Spark writes its event log.
"""

import argparse
import ctypes
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

_CATALOGUE = Path(__file__).parents[1] / "data_samples" / "night1.csv"
_PR_SET_CHILD_SUBREAPER = 36


def run_once(catalogue: Path, folder: Path, *settings: str) -> dict[str, Any]:
    """Run all stages; return wall seconds, CPU seconds, and the seconds of each stage."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    assignments = (f"store.path={folder}/store", f"catalogue.path={catalogue}", *settings)
    config = folder / "empty.toml"
    config.touch()
    sets = [part for setting in assignments for part in ("--set", setting)]
    command = [sys.executable, "-m", "pipeline.cli.main", "run", "--config", str(config), *sets]
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - our own program
    wall = time.monotonic() - start
    _wait_for_all()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    (run_json,) = (folder / "store" / "runs").glob("*/run.json")
    stages = json.loads(run_json.read_text())["stages"]
    seconds = {stage["stage"]: stage["seconds"] for stage in stages}
    return {"wall": round(wall, 2), "cpu": round(cpu, 2), "stages": seconds}


def count_jobs(catalogue: Path, folder: Path) -> dict[str, int]:
    """Run all stages; return how many of Spark's jobs belong to each line of its progress."""
    log = folder / "events"
    log.mkdir()
    settings = {"enabled": "true", "dir": log.as_uri(), "rolling.enabled": "false"}
    settings["compress"] = "false"
    sets = [f"spark.eventLog.{name}={value}" for name, value in settings.items()]
    run_once(catalogue, folder, *sets)
    (file,) = log.iterdir()
    events = (json.loads(line) for line in file.read_text().splitlines())
    starts = [event for event in events if event["Event"] == "SparkListenerJobStart"]
    return dict(Counter(event["Properties"]["spark.job.description"] for event in starts))


def _wait_for_all() -> None:
    """Wait for the JVM, which ends a moment after the run."""
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return


def main() -> None:
    """Parse the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--catalogue", type=Path, default=_CATALOGUE)
    parser.add_argument("--jobs", action="store_true")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    # Processes whose parent has ended become this one's children, so that their time is counted.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    results: dict[str, Any] = {"runs": []}
    for _ in range(arguments.runs):
        with tempfile.TemporaryDirectory(prefix="nitamono-startup-") as folder:
            results["runs"].append(run_once(arguments.catalogue.absolute(), Path(folder)))
    if arguments.jobs:
        with tempfile.TemporaryDirectory(prefix="nitamono-startup-") as folder:
            results["jobs"] = count_jobs(arguments.catalogue.absolute(), Path(folder))
    if arguments.json:
        print(json.dumps(results))
        return
    for run in results["runs"]:
        stages = "  ".join(f"{stage} {seconds:.1f}" for stage, seconds in run["stages"].items())
        print(f"{run['wall']:.1f} s, {run['cpu']:.1f} CPU s: {stages}")
    for line, jobs in results.get("jobs", {}).items():
        print(f"{jobs:4} jobs: {line}")


if __name__ == "__main__":
    main()
