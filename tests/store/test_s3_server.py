"""The S3 server of the tests truly has one winner a key; without this no test on it would prove anything."""

import os
import subprocess
import sys
import time

import pytest

from tests.store.s3_server import Bucket

ROUNDS = 30

# Each round begins at a moment that all processes know, so that their puts meet.
_RACE = """
import sys, time
import s3fs
bucket, me, client, rounds, size = *sys.argv[1:4], *map(int, sys.argv[4:6])
data = me.encode() * size
if client == "s3fs":
    fs = s3fs.S3FileSystem()
    fs.exists(f"{bucket}/warm")
    def put(key):
        try:
            fs.pipe_file(f"{bucket}/{key}", data, mode="create")
        except FileExistsError:
            return False
        return True
else:
    import obstore
    from obstore.exceptions import AlreadyExistsError
    store = obstore.store.from_url(f"s3://{bucket}")
    def put(key):
        try:
            obstore.put(store, key, data, mode="create")
        except AlreadyExistsError:
            return False
        return True
print("ready", flush=True)
start = float(sys.stdin.readline())
for turn in range(rounds):
    while time.time() < start + turn * 0.03:
        pass
    if put(f"race/{turn:04d}"):
        print(turn, flush=True)
"""


@pytest.mark.parametrize(
    ("clients", "size"),
    [
        (("s3fs", "s3fs", "obstore", "obstore"), 100_000),
        pytest.param(("s3fs", "obstore"), 200, marks=pytest.mark.long),
    ],
)
def test_one_of_several_processes_wins_each_key(
    s3_bucket: Bucket, clients: tuple[str, ...], size: int
) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _RACE, s3_bucket.name, str(n), client, str(ROUNDS), str(size)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ},
        )
        for n, client in enumerate(clients)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    start = time.time() + 0.1
    winners: dict[int, int] = {}
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(f"{start}\n")
        process.stdin.flush()
    for n, process in enumerate(processes):
        for turn in map(int, process.communicate(timeout=60)[0].split()):
            assert turn not in winners, "two winners"
            winners[turn] = n
    assert sorted(winners) == list(range(ROUNDS))
    import s3fs

    fs = s3fs.S3FileSystem()
    for turn, n in winners.items():
        assert fs.cat_file(f"{s3_bucket.name}/race/{turn:04d}") == str(n).encode() * size
