"""What a process says of failures that nobody catches."""

from __future__ import annotations

import subprocess
import sys

import orjson

FAILING = """
import threading
from bioelx.service.logs import set_up_logs
from bioelx.service.privacy import keep_words_in

set_up_logs()
keep_words_in()

def fail():
    raise ValueError("Zephyrine")

class Unraisable:
    def __del__(self):
        fail()

Unraisable()
thread = threading.Thread(target=fail)
thread.start()
thread.join()
fail()
"""


def test_uncaught_exceptions_are_logged_without_their_messages():
    done = subprocess.run(
        [sys.executable, "-c", FAILING], capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 1
    assert b"Zephyrine" not in done.stderr
    lines = [orjson.loads(line) for line in done.stderr.splitlines()]
    assert [(line["event"], line["exception"]) for line in lines] == [
        ("uncaught", "ValueError")
    ] * 3
    assert all(line["frames"][-1].endswith(" fail") for line in lines)
