#!/bin/bash
# python3 is all that is needed. What is exported becomes an output of the operation: the type's attribute "notes" is made of it.
set -e
mkdir -p /srv/notes
cat > /srv/notes/program.py <<'PROGRAM'
import http.server, sys

class Notes(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        with open("/srv/notes/notes.txt", encoding="utf-8") as f:
            body = f.read().encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

http.server.ThreadingHTTPServer(("", int(sys.argv[1])), Notes).serve_forever()
PROGRAM
echo "the first note" > /srv/notes/notes.txt
export NOTES=/srv/notes/notes.txt
