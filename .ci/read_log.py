"""Reads the files of a closed log with fastavro, and compares every commit with what was written.

Usage: read_log.py FOLDER WRITTEN, the latter holding a JSON object for each commit, in order.
"""

import datetime
import json
import pathlib
import sys

import fastavro


def commits_of(folder):
    """Every record of every file, in the order of the files' names."""
    files = sorted(folder.glob("*.avro"))
    assert len(files) > 1, f"{folder} has {len(files)} log files: the log should have been rotated"
    for file in files:
        with file.open("rb") as stream:
            reader = fastavro.reader(stream)
            assert reader.codec == "null", f"{file}: codec {reader.codec}"
            yield from ((file.name, record) for record in reader)


def as_written(record):
    ops = [[op["keyspace"], op["kind"], op["key"].hex(), op["value"].hex()] for op in record["ops"]]
    return {"lsn": record["lsn"], "ops": ops}


def main(folder, written):
    expected = [json.loads(line) for line in pathlib.Path(written).read_text().splitlines()]
    found = list(commits_of(pathlib.Path(folder)))
    for (file, record), want in zip(found, expected, strict=True):
        assert as_written(record) == want, f"{file}: {record} is not {want}"
        assert isinstance(record["time"], datetime.datetime), f"{file}: time is {record['time']!r}"
        assert 0 <= record["durable"] < record["lsn"], f"{file}: durable is {record['durable']}"
        assert len(record["crc"]) == 4, f"{file}: crc is {record['crc']!r}"
    assert [record["lsn"] for _, record in found] == list(range(1, len(found) + 1))
    files = len({file for file, _ in found})
    print(f"fastavro {fastavro.__version__} read {len(found)} commits in {files} files, as they were written")


if __name__ == "__main__":
    main(*sys.argv[1:])
