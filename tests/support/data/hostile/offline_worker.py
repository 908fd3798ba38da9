"""The real worker, in which an attempt to open a socket, also in native code, ends the process with SIGSYS."""

from rag_assets.documents.parsing.isolation import KILL, refuse_sockets
from rag_assets.documents.parsing.subprocess_worker import main

if __name__ == "__main__":
    refuse_sockets(KILL)
    main()
