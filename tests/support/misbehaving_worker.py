"""A worker whose parser hangs, crashes, or returns bad data on request; started through `_worker_module`."""

import ctypes
import json
import os
import re
import socket
import stat
import sys
import time
from pathlib import Path

from rag_assets.documents.parsing.parse_report import ConvertedDocument
from rag_assets.documents.parsing.subprocess_worker import main


class Panic(BaseException):
    """Like pyo3's PanicException, not an Exception."""


def parse(kind: str, data: bytes) -> ConvertedDocument:
    match data.removeprefix(b"%PDF-").decode():
        case "hang":
            time.sleep(3600)
        case "hang in native code":
            # This holds the GIL, so that no other thread or Python signal handler runs.
            re.match(r"(a+)+$", "a" * 60 + "b")
        case "eat memory slowly":
            eaten = []
            while True:
                eaten.append(b"x" * 2**20)
                time.sleep(0.001)
        case "eat memory at once":
            return ConvertedDocument(None, "x" * 2**40)
        case "die":
            ctypes.string_at(0)
        case "abort":
            os.abort()
        case "leave":
            os._exit(3)
        case "exit":
            sys.exit(4)
        case "panic":
            raise Panic("index out of bounds: the len is 3")
        case "recurse":
            return parse(kind, data)
        case "fail":
            raise KeyError("xref")
        case "chatter":
            print("noise on stdout" * 10_000, flush=True)
            os.write(1, b"\x00" * 100_000)
            return ConvertedDocument(None, f"read {sys.stdin.read()!r} from stdin")
        case "dirty":
            return ConvertedDocument(
                "a\x00 title\nof two lines",
                "\ufeffone\r\ntwo\x00\ud800",
                {"nan": float("nan"), "who\x00": {1, 2}},
            )
        case "modules":
            return ConvertedDocument(None, " ".join(sorted(sys.modules)))
        case "sockets":
            descriptors = [fd for fd in range(100) if Path(f"/proc/self/fd/{fd}").exists()]
            return ConvertedDocument(
                None, " ".join(str(fd) for fd in descriptors if stat.S_ISSOCK(os.fstat(fd).st_mode))
            )
        case "environment":
            folder = Path.cwd()
            (folder / "left behind").write_text("x")
            shown = {"names": sorted(os.environ), "folder": str(folder), "home": os.environ["HOME"]}
            return ConvertedDocument(None, json.dumps(shown))
        case connect if connect.startswith("connect to "):
            target = connect.removeprefix("connect to ")
            family, address = (
                (socket.AF_INET, ("127.0.0.1", int(target))) if target.isdigit() else (socket.AF_UNIX, target)
            )
            try:
                with socket.socket(family) as client:
                    client.connect(address)
            except OSError as error:
                return ConvertedDocument(None, f"refused: {error}")
            return ConvertedDocument(None, "connected")
        case "huge":
            return ConvertedDocument(None, "x" * 50_000_000)
    return ConvertedDocument(None, f"pid {os.getpid()}: {data.decode()}")


if __name__ == "__main__":
    main(parse)
