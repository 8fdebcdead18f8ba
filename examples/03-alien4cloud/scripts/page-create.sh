#!/bin/bash
set -e
mkdir -p /srv/notes
cat > /srv/notes/program.py <<'PROGRAM'
import html, http.server, sys, urllib.request

class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with open("/srv/notes/store", encoding="utf-8") as f:
            store = f.read().strip()
        with urllib.request.urlopen(store, timeout=5) as r:
            notes = r.read().decode().splitlines()
        body = ("<!doctype html>\n<title>Notes</title>\n<ul>\n" + "".join(f"<li>{html.escape(n)}</li>\n" for n in notes) + "</ul>\n").encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

http.server.ThreadingHTTPServer(("", int(sys.argv[1])), Page).serve_forever()
PROGRAM
