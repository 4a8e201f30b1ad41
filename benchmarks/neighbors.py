"""Neighbours of all vectors of a file: the Spark stages, the bare kernel, and other libraries.

    spark    the stages index and neighbors on local[2], probes by the target recall
    kernel   one process, two threads: the same lists and probes by matrix products, no Spark
    peers    faiss IndexIVFFlat, hnswlib, pynndescent (pip install nitamono[benchmark])

All on the same vectors in the same run. Recall is measured against exact search on 1,000 queries.
Each of kernel and peers has a process of its own, whose peak memory is reported.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config import reading as config
from pipeline.retrieval import quantiser
from pipeline.retrieval.vectors import Float32, to_bytes, unit_vectors
from pipeline.stages.context import Job
from pipeline.stages.index import stage as index
from pipeline.stages.neighbors import stage as neighbors
from pipeline.store.stage_record import StageRecord
from pipeline.store.store import Store

QUERIES = 1_000
THREADS = 2
_FILE_ROWS = 50_000
PEERS = ("ivf", "hnswlib", "pynndescent")


def load(path: str) -> Float32:
    """The vectors as the embeddings table holds them, float32[n, dim]: float16's values."""
    mapped = np.load(path, mmap_mode="r")
    vectors = np.empty(mapped.shape, dtype=np.float32)
    for i in range(0, len(mapped), _FILE_ROWS):
        vectors[i : i + _FILE_ROWS] = mapped[i : i + _FILE_ROWS].astype(np.float16)
    return vectors


def sample(vectors: Float32, k: int) -> tuple["np.ndarray", Float32]:
    """Some rows, and the cosines of their k nearest others by exact search, best first."""
    directions = unit_vectors(vectors)
    rows = np.random.default_rng(0).permutation(len(vectors))[:QUERIES]
    best = np.full((len(rows), k), -np.inf, dtype=np.float32)
    for i in range(0, len(vectors), _FILE_ROWS):
        scores = directions[rows] @ directions[i : i + _FILE_ROWS].T
        inside = (rows >= i) & (rows < i + scores.shape[1])
        scores[inside, rows[inside] - i] = -np.inf
        best = -np.partition(-np.hstack([best, scores]), k - 1, axis=1)[:, :k]
    return rows, -np.sort(-best, axis=1)


def recall_of(vectors: Float32, found: "np.ndarray", k: int) -> float:
    """Recall of neighbours given as row numbers, int[n, k] or with the item itself among them."""
    rows, truth = sample(vectors, k)
    directions = unit_vectors(vectors)
    shares = []
    for row, exact in zip(rows, truth, strict=True):
        others = [other for other in found[row].tolist() if other not in (row, -1)][:k]
        # A matrix product's last bits vary; a tie must still count.
        scores = (directions[others] @ directions[row]) + 1e-6
        shares.append((scores >= exact[-1]).sum() / k)
    return float(np.mean(shares))


def spark(path: str, k: int, target: float) -> dict[str, Any]:
    """The stages as a night runs them; reading the file and writing the embeddings not timed."""
    vectors = load(path)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        _write_embeddings(store, vectors)
        file = Path(folder) / "nitamono.toml"
        file.write_text(f'[store]\npath = "{folder}"\n[catalogue]\npath = "none.csv"\n')
        sets = (f"neighbors.k={k}", f"neighbors.target_recall={target}", "index.exact_below=0")
        master = f"spark.master=local[{THREADS}]"
        job = Job(config.load(file, (*sets, master), {}), store, "benchmark")
        count = {"vectors": len(vectors), "dim": vectors.shape[1], "space": "benchmark"}
        count |= {"base": None, "why": "a benchmark"}
        rows = {"embeddings": len(vectors)}
        job.set_record(StageRecord("embed", "e", "benchmark", {}, rows, {}, count))
        _ = job.spark
        with _peak_of_workers() as peak:
            start = time.monotonic()
            made = index.execute(job, "i")
            record = StageRecord("index", "i", "benchmark", {}, made.tables, {}, made.outputs)
            job.set_record(record)
            middle = time.monotonic()
            made = neighbors.execute(job, "n")
            end = time.monotonic()
        table = store.dataset("neighbors", "n").to_table()
        job.stop()
    return {
        "seconds": round(end - start, 1),
        "index_seconds": round(middle - start, 1),
        "neighbors_seconds": round(end - middle, 1),
        "recall": round(recall_of(vectors, _as_rows(table, len(vectors), k), k), 4),
        "worker_mb": round(peak[0]),
        "nlist": job.record("index").outputs["lists"],
        **made.counts,
    }


def _write_embeddings(store: Store, vectors: Float32) -> None:
    folder = store.table_path("embeddings", "e")
    folder.mkdir(parents=True)
    for i in range(0, len(vectors), _FILE_ROWS):
        part = vectors[i : i + _FILE_ROWS]
        offsets = pa.array(np.arange(len(part) + 1, dtype=np.int32) * part.shape[1])
        columns = {
            "item_id": pa.array([f"{n:09d}" for n in range(i, i + len(part))]),
            "vector": pa.ListArray.from_arrays(offsets, pa.array(part.ravel())),
            "tokens": pa.array(np.ones(len(part), dtype=np.int32)),
            "half": to_bytes(part),
        }
        pq.write_table(pa.table(columns), folder / f"{i:09d}.parquet", compression="zstd")


def _as_rows(table: pa.Table, n: int, k: int) -> "np.ndarray":
    lists = table["neighbors"].combine_chunks()
    sizes = np.diff(lists.offsets.to_numpy())
    rows = np.repeat(table["item_id"].to_numpy().astype(np.int64), sizes)
    places = np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    found = np.full((n, k), -1, dtype=np.int64)
    similar = lists.flatten().field("similar_id").to_numpy(zero_copy_only=False)
    kept = places < k
    found[rows[kept], places[kept]] = similar[kept].astype(np.int64)
    return found


class _peak_of_workers:  # noqa: N801 - used as a context manager
    """The largest resident memory of any of Spark's Python workers below this process, in MB."""

    def __enter__(self) -> list[float]:
        self._peak, self._stop = [0.0], threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self._peak

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        command = ["ps", "-eo", "pid,ppid,rss,args"]
        while not self._stop.wait(0.3):
            lines = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
            processes = [line.split(None, 3) for line in lines.stdout.splitlines()[1:]]
            ours = {str(os.getpid())}
            for _ in range(4):
                ours |= {pid for pid, parent, *_ in processes if parent in ours}
            for pid, _, kib, arguments in processes:
                if pid in ours and "pyspark.daemon" in arguments:
                    self._peak[0] = max(self._peak[0], int(kib) * 1024 / 1e6)


def kernel(vectors: Float32, k: int, nlist: int, nprobe: int) -> "np.ndarray":
    """List by list in one process, from training to merge: int64[n, k + 1]."""
    # Not the queries that recall is measured on: those are the first by the seed 0.
    size = quantiser.sample_size(nlist, 200_000)
    chosen = np.random.default_rng(1).permutation(len(vectors))[:size]
    centroids = quantiser.train(vectors[chosen], nlist, 0)
    with ThreadPoolExecutor(THREADS) as pool:
        starts = range(0, len(vectors), _FILE_ROWS)
        probed = pool.map(
            lambda i: quantiser.probe(vectors[i : i + _FILE_ROWS], centroids, nprobe), starts
        )
        probes = np.concatenate(list(probed))
        directions = unit_vectors(vectors)
        order = np.argsort(probes.ravel(), kind="stable")
        bounds = np.searchsorted(probes.ravel()[order], np.arange(len(centroids) + 1))
        scores = np.full((len(vectors), nprobe, k + 1), -np.inf, dtype=np.float32)
        found = np.full((len(vectors), nprobe, k + 1), -1, dtype=np.int64)

        def search(number: int) -> None:
            rows, slots = np.divmod(order[bounds[number] : bounds[number + 1]], nprobe)
            items = np.flatnonzero(probes[:, 0] == number)
            wanted = min(k + 1, len(items))
            for i in range(0, len(rows) if wanted else 0, 4096):
                mine, slot = rows[i : i + 4096], slots[i : i + 4096]
                product = directions[mine] @ directions[items].T
                at = product.shape[1] - wanted
                best = np.argpartition(product, at, axis=1)[:, at:]
                scores[mine, slot, :wanted] = np.take_along_axis(product, best, axis=1)
                found[mine, slot, :wanted] = items[best]

        list(pool.map(search, range(len(centroids))))
    best = np.argsort(-scores.reshape(len(vectors), -1), axis=1)[:, : k + 1]
    return np.take_along_axis(found.reshape(len(vectors), -1), best, axis=1)


def ivf(vectors: Float32, k: int, nlist: int, target: float) -> tuple["np.ndarray", float]:
    """IndexIVFFlat at the fewest probes that reach the target; search only."""
    import faiss

    faiss.omp_set_num_threads(THREADS)
    directions = unit_vectors(vectors)
    index_ = faiss.IndexIVFFlat(
        faiss.IndexFlatIP(vectors.shape[1]), vectors.shape[1], nlist, faiss.METRIC_INNER_PRODUCT
    )
    chosen = np.random.default_rng(1).permutation(len(vectors))
    index_.train(directions[chosen[: quantiser.sample_size(nlist, 200_000)]])
    index_.add(directions)
    rows, _ = sample(vectors, k)
    found = np.full((len(vectors), k + 1), -1, dtype=np.int64)
    while True:
        found[rows] = index_.search(directions[rows], k + 1)[1]
        if index_.nprobe >= nlist or recall_of(vectors, found, k) >= target:
            break
        index_.nprobe += 1
    start = time.monotonic()
    found = index_.search(directions, k + 1)[1]
    return found, time.monotonic() - start


def hnswlib(vectors: Float32, k: int) -> "np.ndarray":
    """Build and search with M 16, ef_construction 200, ef 100."""
    import hnswlib as library

    graph = library.Index("cosine", vectors.shape[1])
    graph.init_index(len(vectors), M=16, ef_construction=200, random_seed=0)
    graph.set_num_threads(THREADS)
    graph.add_items(vectors)
    graph.set_ef(max(100, k + 1))
    return np.asarray(graph.knn_query(vectors, k + 1)[0].astype(np.int64))


def pynndescent(vectors: Float32, k: int) -> "np.ndarray":
    """The neighbour graph, with the library's settings."""
    import pynndescent as library

    made = library.NNDescent(
        unit_vectors(vectors), metric="cosine", n_neighbors=k + 1, random_state=0, n_jobs=THREADS
    )
    return np.asarray(made.neighbor_graph[0])


def part(arguments: argparse.Namespace) -> dict[str, Any]:
    """One of the kernel and the peers, in this process."""
    vectors, k = load(arguments.vectors), arguments.k
    start = time.monotonic()
    searched = None
    if arguments.part == "kernel":
        found = kernel(vectors, k, arguments.nlist, arguments.nprobe)
    elif arguments.part == "ivf":
        found, searched = ivf(vectors, k, arguments.nlist, arguments.target_recall)
    else:
        found = {"hnswlib": hnswlib, "pynndescent": pynndescent}[arguments.part](vectors, k)
    seconds = time.monotonic() - start if searched is None else searched
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    return {
        "seconds": round(seconds, 1),
        "recall": round(recall_of(vectors, found, k), 4),
        "peak_mb": round(peak),
    }


def run_part(name: str, arguments: argparse.Namespace, made: dict[str, Any]) -> dict[str, Any]:
    """The same in a process of its own, with a thread of BLAS for each thread of the part."""
    # The kernel's two threads bring one BLAS each; the libraries have threads of their own.
    threads = {"OPENBLAS_NUM_THREADS": "1" if name == "kernel" else str(THREADS)}
    command = [sys.executable, __file__, "--part", name, "--vectors", arguments.vectors]
    command += ["--k", str(arguments.k), "--target-recall", str(arguments.target_recall)]
    command += ["--nlist", str(made["nlist"]), "--nprobe", str(made["probes"])]
    done = subprocess.run(  # noqa: S603 - this file
        command, stdout=subprocess.PIPE, text=True, check=False, env=os.environ | threads
    )
    if done.returncode:
        return {"error": f"exit {done.returncode}"}
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def main() -> None:
    """Run, and print a table, or one JSON object with --json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vectors", required=True, help=".npy file of float32[n, dim]")
    parser.add_argument("--k", type=int, default=10, help="neighbours an item")
    parser.add_argument("--target-recall", type=float, default=0.97)
    parser.add_argument("--peers", action="store_true", help="other libraries too")
    parser.add_argument("--json", action="store_true", help="print one JSON object, last")
    for hidden in ("--part", "--nlist", "--nprobe"):
        kind = str if hidden == "--part" else int
        parser.add_argument(hidden, type=kind, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        print(json.dumps(part(arguments)))
        return
    made = spark(arguments.vectors, arguments.k, arguments.target_recall)
    result: dict[str, Any] = {"spark": made, "kernel": run_part("kernel", arguments, made)}
    if arguments.peers:
        result["peers"] = {name: run_part(name, arguments, made) for name in PEERS}
    if arguments.json:
        print(json.dumps(result))
        return
    for name, row in {**result.pop("peers", {}), **result}.items():
        print(f"{name:<12} {row}")


if __name__ == "__main__":
    main()
