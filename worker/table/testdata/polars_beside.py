"""The other side of BenchmarkBesidePolars: reads a file with polars and says how long it took.

polars_beside.py version | write CSV PARQUET | csv FILE | parquet FILE
"""
import json
import resource
import sys
import time

import polars


def seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main():
    if sys.argv[1] == "version":
        print(polars.__version__)
        return
    if sys.argv[1] == "write":
        polars.read_csv(sys.argv[2], try_parse_dates=True).write_parquet(sys.argv[3], compression="snappy")
        return
    read = {"csv": lambda f: polars.read_csv(f, try_parse_dates=True), "parquet": polars.read_parquet}[sys.argv[1]]
    read(sys.argv[2])  # the file is in the cache, and threads are there
    cpu, begin = seconds(), time.perf_counter()
    table = read(sys.argv[2])
    took, cpu = time.perf_counter() - begin, seconds() - cpu
    kinds = [str(t) for t in table.dtypes]
    if "String" in kinds[:16] or kinds[19] == "String":
        sys.exit("polars did not find the types: %s" % kinds)
    print(json.dumps({"seconds": took, "cpu_seconds": cpu, "rows": table.height}))


main()
