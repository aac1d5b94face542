"""Runs in a team's pod: reads the token repeatedly and logs what it sees.

It prints a line of JSON at each change and every few seconds: the time (seconds since 1970), a hash
of the token (never the token), and the seconds until the expiry stated next to it. It is mounted
into the pods and can only use the standard library.

    reader.py FOLDER   the files of a mounted Secret
    reader.py -        the environment
"""

import datetime as dt
import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path

READ_SECONDS = 0.1
LOG_SECONDS = 2.0


def read(source: str) -> tuple[str, float]:
    """Return the token's hash and when it expires."""
    if source == "-":
        token, expiry = os.environ["ACCESS_TOKEN"], os.environ["EXPIRES_AT"]
    else:
        folder = Path(source)
        # Both from the same version: the kubelet switches the link ..data.
        data = folder / "..data"
        folder = data.resolve() if data.exists() else folder
        token = (folder / "access_token").read_text("utf-8")
        expiry = (folder / "expires_at").read_text("utf-8")
    fingerprint = hashlib.sha256(token.encode()).hexdigest()[:16]
    return fingerprint, dt.datetime.fromisoformat(expiry).timestamp()


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    source = sys.argv[1]
    shown, logged = "", 0.0
    while True:
        try:
            token, expiry = read(source)
        except FileNotFoundError:  # the old version was deleted between two reads
            continue
        now = time.time()
        if token != shown or now - logged >= LOG_SECONDS:
            line = {"at": now, "token": token, "left": expiry - now, "changed": token != shown}
            print(json.dumps(line), flush=True)
            shown, logged = token, now
        time.sleep(READ_SECONDS)


main()
