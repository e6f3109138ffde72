"""A stand-in for the gateway or the sidecar: writes its pid, answers health checks, behaves as its mode says."""

import http.server
import os
import signal
import subprocess
import sys
import time
from pathlib import Path


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        pass


def main(pid_file: str, mode: str, port: str) -> None:
    if mode == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if mode == "parent":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        Path(f"{pid_file}.child").write_text(str(child.pid))
    with Path(pid_file).open("a") as pids:
        pids.write(f"{os.getpid()}\n")
    print(f"{mode} says hello", flush=True)
    if mode == "broken":
        sys.exit("no such setting: MILLM_TYPO")
    if mode == "healthy":
        http.server.HTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()
    time.sleep(600)


if __name__ == "__main__":
    main(*sys.argv[1:])
