"""What runs in a team's pod: reads the token again and again, and writes down what it sees.

It prints a line of JSON at each change, and every few seconds: when (seconds since 1970), a
fingerprint of the token, never the token, and the seconds left until the expiry that stands beside
it. It is mounted into the pods and must do with the standard library.

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

LOOK_SECONDS = 0.1
TELL_SECONDS = 2.0


def read(source: str) -> tuple[str, float]:
    """Return the token's fingerprint, and when it expires."""
    if source == "-":
        token, expiry = os.environ["ACCESS_TOKEN"], os.environ["EXPIRES_AT"]
    else:
        folder = Path(source)
        # Both of one version: the kubelet changes where ..data points to.
        data = folder / "..data"
        folder = data.resolve() if data.exists() else folder
        token = (folder / "access_token").read_text("utf-8")
        expiry = (folder / "expires_at").read_text("utf-8")
    fingerprint = hashlib.sha256(token.encode()).hexdigest()[:16]
    return fingerprint, dt.datetime.fromisoformat(expiry).timestamp()


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    source = sys.argv[1]
    shown, told = "", 0.0
    while True:
        try:
            token, expiry = read(source)
        except FileNotFoundError:  # the old version went between two reads
            continue
        now = time.time()
        if token != shown or now - told >= TELL_SECONDS:
            line = {"at": now, "token": token, "left": expiry - now, "changed": token != shown}
            print(json.dumps(line), flush=True)
            shown, told = token, now
        time.sleep(LOOK_SECONDS)


main()
