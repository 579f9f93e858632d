"""Stands for the callers of a model: 2,000 clients, each with a name of its own, who ask through the front.

usage: callers URL FILE          each asks once; one line for each kind of answer
       callers URL FILE --on     one after the other, round and round, until it is ended; then, how many failed
"""

from __future__ import annotations

import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException
from itertools import cycle
from pathlib import Path
from urllib.parse import urlsplit

CLIENTS = [f"client-{number}" for number in range(1, 2001)]
_PAUSE = 0.002


def main() -> None:
    """Ask."""
    url, body, once = urlsplit(sys.argv[1]), Path(sys.argv[2]).read_bytes(), sys.argv[3:] != ["--on"]

    def ask(client: str) -> str:
        connection = HTTPConnection(url.netloc, timeout=60)
        try:
            connection.request("POST", url.path, body, {"X-Client": client, "Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
        except (OSError, HTTPException) as error:
            return type(error).__name__
        finally:
            connection.close()
        return str(answer.status)

    if once:
        with ThreadPoolExecutor(4) as threads:
            counts = Counter(threads.map(ask, CLIENTS))
        sys.stdout.writelines(f"{kind}: {count}\n" for kind, count in sorted(counts.items()))
        return
    failed = [kind for kind in map(ask, _until_ended()) if kind != "200"]
    sys.stdout.write(" ".join([f"{len(failed)} failed", *sorted(set(failed))]) + "\n")


def _until_ended() -> Iterator[str]:
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: ended.append(number))
    for client in cycle(CLIENTS):
        if ended:
            return
        yield client
        time.sleep(_PAUSE)


if __name__ == "__main__":
    main()
