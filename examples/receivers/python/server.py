"""A webhook endpoint that verifies what it receives. Needs Python and nothing else.

The part between the two lines of dashes is the webhook contract's own sample, unchanged. It is given the body's bytes
as they came: parsing them and writing them again gives other bytes in Python.
"""

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# ----------------------------------------------------------------------------------------------------------------------
import hmac
import hashlib

def verify_signature(payload: bytes, signature: str, secret: str) -> bool:
    expected = 'sha256=' + hmac.new(
        secret.encode(),
        payload,
        hashlib.sha256
    ).hexdigest()
    return hmac.compare_digest(signature, expected)
# ----------------------------------------------------------------------------------------------------------------------

LIMIT = 4 * 1024 * 1024
SECRET = os.environ.get("WEBHOOK_SECRET", "")

last_seen: dict[str, int] = {}
last_seen_lock = threading.Lock()


def process_webhook(change: dict) -> None:
    """Called once for each verified delivery, before its answer leaves."""
    resource, sequence = change["resource"], change["sequence"]
    name = "/".join(part for part in (resource.get("namespace"), resource["name"]) if part)
    line = f"{change['change_type']} {resource['kind']} {name} sequence={sequence}"
    with last_seen_lock:
        # the recipe: ignore what is not higher than the sequence last seen for that object
        newer = sequence > last_seen.get(resource["uid"], 0)
        if newer:
            last_seen[resource["uid"]] = sequence
        print("verified" if newer else "ignored", line, flush=True)


class Webhook(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_POST(self) -> None:
        if self.path.partition("?")[0] != "/webhook":
            return self.answer(404, "Not found")
        try:
            length = int(self.headers["Content-Length"])
        except (TypeError, ValueError):
            return self.answer(411, "Length required")
        if not 0 <= length <= LIMIT:
            return self.answer(413, "Too large")
        payload = self.rfile.read(length)
        signature = self.headers.get("X-Signature-256", "")
        # compare_digest takes text in ASCII only, and a header may hold anything
        if not signature.isascii() or not verify_signature(payload, signature, SECRET):
            return self.answer(401, "Invalid signature")
        try:
            process_webhook(json.loads(payload)["change"])
        except (ValueError, LookupError, TypeError) as error:
            print(f"failed to process a delivery: {error!r}", file=sys.stderr, flush=True)
            return self.answer(500, "Failed")
        self.answer(200, "OK")

    def answer(self, code: int, text: str) -> None:
        body = f"{text}\n".encode()
        # a request that is refused half-way has a rest that nobody will read
        self.close_connection = self.close_connection or code in (404, 411, 413)
        self.send_response(code)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """One line for each delivery is enough."""


if __name__ == "__main__":
    if not SECRET:
        sys.exit("WEBHOOK_SECRET is not set: it is the value in the subscription's Secret")
    address = os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "9000"))
    server = ThreadingHTTPServer(address, Webhook)
    print(f"listening on http://{address[0]}:{server.server_port}/webhook", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
