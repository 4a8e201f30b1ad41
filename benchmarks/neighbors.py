"""Neighbours of all vectors of a file: the Spark stages, a bare kernel, and other libraries.

    spark    the stages index and neighbors on local[2], probes by the target recall
    kernel   one process, two threads: the same lists and probes by matrix products, no Spark
    peers    faiss IndexIVFFlat, hnswlib, pynndescent (pip install nitamono[benchmark])

All use the same vectors in the same run. Recall is measured against exact search on 1,000 queries.
The kernel and each peer run in a process of their own, whose peak memory is reported.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.processes import WORKERS, Sampler
from pipeline.config import reading as config
from pipeline.retrieval import list_training, quantiser
from pipeline.retrieval.vectors import Float32, to_bytes, unit_vectors
from pipeline.stages.context import Job
from pipeline.stages.index import stage as index
from pipeline.stages.neighbors import stage as neighbors_stage
from pipeline.storage.list_schemas import NEIGHBORS
from pipeline.storage.paths import StoragePath
from pipeline.store import file_list
from pipeline.store.stage_record import StageRecord
from pipeline.store.store import Store

QUERIES = 1_000
THREADS = 2
_FILE_ROWS = 50_000
PEERS = ("ivf", "hnswlib", "pynndescent")


def load(path: str) -> Float32:
    """The vectors rounded to float16, as in the embeddings table: float32[n, dim]."""
    mapped = np.load(path, mmap_mode="r")
    vectors = np.empty(mapped.shape, dtype=np.float32)
    for i in range(0, len(mapped), _FILE_ROWS):
        vectors[i : i + _FILE_ROWS] = mapped[i : i + _FILE_ROWS].astype(np.float16)
    return vectors


def sample(vectors: Float32, k: int) -> tuple["np.ndarray", Float32]:
    """A sample of rows, and the cosines of their k nearest others by exact search, best first."""
    directions = unit_vectors(vectors)
    rows = np.random.default_rng(0).permutation(len(vectors))[:QUERIES]
    best = np.full((len(rows), k), -np.inf, dtype=np.float32)
    for i in range(0, len(vectors), _FILE_ROWS):
        scores = directions[rows] @ directions[i : i + _FILE_ROWS].T
        inside = (rows >= i) & (rows < i + scores.shape[1])
        scores[inside, rows[inside] - i] = -np.inf
        best = -np.partition(-np.hstack([best, scores]), k - 1, axis=1)[:, :k]
    return rows, -np.sort(-best, axis=1)


def recall_of(vectors: Float32, neighbors: "np.ndarray", k: int) -> float:
    """Recall of neighbours as row numbers: int[n, k], or more with the item itself among them."""
    rows, truth = sample(vectors, k)
    directions = unit_vectors(vectors)
    shares = []
    for row, exact in zip(rows, truth, strict=True):
        others = [other for other in neighbors[row].tolist() if other not in (row, -1)][:k]
        # The last bits of a matrix product vary; a tie must still count.
        scores = (directions[others] @ directions[row]) + 1e-6
        shares.append((scores >= exact[-1]).sum() / k)
    return float(np.mean(shares))


def spark(path: str, k: int, target: float) -> dict[str, Any]:
    """The two stages as a run executes them; without reading the file and writing embeddings."""
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
        with Sampler() as sampler:
            start = time.monotonic()
            result = index.execute(job, "i")
            job.set_record(
                StageRecord("index", "i", "benchmark", {}, result.tables, {}, result.outputs)
            )
            middle = time.monotonic()
            result = neighbors_stage.execute(job, "n")
            end = time.monotonic()
        batches = store.open_clustered("neighbors", "n").rows(0, len(vectors), NEIGHBORS.names)
        table = pa.Table.from_batches(batches, NEIGHBORS)
        job.stop()
    return {
        "seconds": round(end - start, 1),
        "index_seconds": round(middle - start, 1),
        "neighbors_seconds": round(end - middle, 1),
        "recall": round(recall_of(vectors, _as_rows(table, len(vectors), k), k), 4),
        "worker_mb": round(sampler.peaks[WORKERS] / 1e6),
        "nlist": job.record("index").outputs["lists"],
        **result.counts,
    }


def _write_embeddings(store: Store, vectors: Float32) -> None:
    with store.versions.create("embeddings", "e") as folder:
        file_list.write(folder, list(_embedding_files(folder, vectors)))


def _embedding_files(folder: StoragePath, vectors: Float32) -> Iterator[file_list.File]:
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
        name = f"{i:09d}.parquet"
        pq.write_table(pa.table(columns), str(folder / name), compression="zstd")
        yield file_list.describe(str(folder / name), name, rows=len(part))


def _as_rows(table: pa.Table, n: int, k: int) -> "np.ndarray":
    lists = table["neighbors"].combine_chunks()
    sizes = np.diff(lists.offsets.to_numpy())
    rows = np.repeat(table["item_id"].to_numpy().astype(np.int64), sizes)
    ranks = np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    neighbors = np.full((n, k), -1, dtype=np.int64)
    similar = lists.flatten().field("similar_id").to_numpy(zero_copy_only=False)
    in_top_k = ranks < k
    neighbors[rows[in_top_k], ranks[in_top_k]] = similar[in_top_k].astype(np.int64)
    return neighbors


def kernel(vectors: Float32, k: int, nlist: int, nprobe: int) -> "np.ndarray":
    """List by list in one process, from training to merge: int64[n, k + 1]."""
    # These are not the queries that recall is measured on, which are drawn with the seed 0.
    size = quantiser.sample_size(nlist, 200_000)
    sampled = np.random.default_rng(1).permutation(len(vectors))[:size]
    lists = list_training.train(vectors[sampled], nlist, 0)
    with ThreadPoolExecutor(THREADS) as pool:
        starts = range(0, len(vectors), _FILE_ROWS)
        probed = pool.map(lambda i: lists.probe(vectors[i : i + _FILE_ROWS], nprobe), starts)
        probes = np.concatenate(list(probed))
        directions = unit_vectors(vectors)
        order = np.argsort(probes.ravel(), kind="stable")
        bounds = np.searchsorted(probes.ravel()[order], np.arange(len(lists) + 1))
        scores = np.full((len(vectors), nprobe, k + 1), -np.inf, dtype=np.float32)
        neighbors = np.full((len(vectors), nprobe, k + 1), -1, dtype=np.int64)

        def search(number: int) -> None:
            rows, slots = np.divmod(order[bounds[number] : bounds[number + 1]], nprobe)
            items = np.flatnonzero(probes[:, 0] == number)
            depth = min(k + 1, len(items))
            for i in range(0, len(rows) if depth else 0, 4096):
                queries, slot = rows[i : i + 4096], slots[i : i + 4096]
                product = directions[queries] @ directions[items].T
                at = product.shape[1] - depth
                best = np.argpartition(product, at, axis=1)[:, at:]
                scores[queries, slot, :depth] = np.take_along_axis(product, best, axis=1)
                neighbors[queries, slot, :depth] = items[best]

        list(pool.map(search, range(len(lists))))
    best = np.argsort(-scores.reshape(len(vectors), -1), axis=1)[:, : k + 1]
    return np.take_along_axis(neighbors.reshape(len(vectors), -1), best, axis=1)


def ivf(vectors: Float32, k: int, nlist: int, target: float) -> tuple["np.ndarray", float]:
    """IndexIVFFlat with the least nprobe that reaches the target; only the search is timed."""
    import faiss

    faiss.omp_set_num_threads(THREADS)
    directions = unit_vectors(vectors)
    index_ = faiss.IndexIVFFlat(
        faiss.IndexFlatIP(vectors.shape[1]), vectors.shape[1], nlist, faiss.METRIC_INNER_PRODUCT
    )
    shuffled = np.random.default_rng(1).permutation(len(vectors))
    index_.train(directions[shuffled[: quantiser.sample_size(nlist, 200_000)]])
    index_.add(directions)
    rows, _ = sample(vectors, k)
    neighbors = np.full((len(vectors), k + 1), -1, dtype=np.int64)
    while True:
        neighbors[rows] = index_.search(directions[rows], k + 1)[1]
        if index_.nprobe >= nlist or recall_of(vectors, neighbors, k) >= target:
            break
        index_.nprobe += 1
    start = time.monotonic()
    neighbors = index_.search(directions, k + 1)[1]
    return neighbors, time.monotonic() - start


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

    graph = library.NNDescent(
        unit_vectors(vectors), metric="cosine", n_neighbors=k + 1, random_state=0, n_jobs=THREADS
    )
    return np.asarray(graph.neighbor_graph[0])


def part(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run the kernel or a peer in this process."""
    vectors, k = load(arguments.vectors), arguments.k
    start = time.monotonic()
    search_seconds = None
    if arguments.part == "kernel":
        neighbors = kernel(vectors, k, arguments.nlist, arguments.nprobe)
    elif arguments.part == "ivf":
        neighbors, search_seconds = ivf(vectors, k, arguments.nlist, arguments.target_recall)
    else:
        neighbors = {"hnswlib": hnswlib, "pynndescent": pynndescent}[arguments.part](vectors, k)
    seconds = time.monotonic() - start if search_seconds is None else search_seconds
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    return {
        "seconds": round(seconds, 1),
        "recall": round(recall_of(vectors, neighbors, k), 4),
        "peak_mb": round(peak),
    }


def run_part(
    name: str, arguments: argparse.Namespace, spark_result: dict[str, Any]
) -> dict[str, Any]:
    """Run the kernel or a peer in a process of its own, with one BLAS thread for each thread."""
    # Each of the kernel's threads calls BLAS; the libraries start threads of their own.
    threads = {"OPENBLAS_NUM_THREADS": "1" if name == "kernel" else str(THREADS)}
    command = [sys.executable, __file__, "--part", name, "--vectors", arguments.vectors]
    command += ["--k", str(arguments.k), "--target-recall", str(arguments.target_recall)]
    command += ["--nlist", str(spark_result["nlist"]), "--nprobe", str(spark_result["probes"])]
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
    spark_result = spark(arguments.vectors, arguments.k, arguments.target_recall)
    result: dict[str, Any] = {
        "spark": spark_result,
        "kernel": run_part("kernel", arguments, spark_result),
    }
    if arguments.peers:
        result["peers"] = {name: run_part(name, arguments, spark_result) for name in PEERS}
    if arguments.json:
        print(json.dumps(result))
        return
    for name, row in {**result.pop("peers", {}), **result}.items():
        print(f"{name:<12} {row}")


if __name__ == "__main__":
    main()
