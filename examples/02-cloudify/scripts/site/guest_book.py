"""A guest book: GET shows who was here, POST with the form's field "name" signs it."""

import html
import http.server
import sys
import urllib.parse

PORT, VISITORS = int(sys.argv[1]), sys.argv[2]


def visitors():
    try:
        with open(VISITORS, encoding="utf-8") as f:
            return f.read().splitlines()
    except FileNotFoundError:
        return []


class GuestBook(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with open("page.html", encoding="utf-8") as f:
            names = "".join(f"<li>{html.escape(v)}</li>\n" for v in visitors())
            body = f.read().replace("<!-- visitors -->", names).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        size = min(int(self.headers.get("Content-Length", 0)), 4096)
        form = urllib.parse.parse_qs(self.rfile.read(size).decode("utf-8", "replace"))
        name = " ".join(form.get("name", [""])[0].split())
        if name:
            with open(VISITORS, "a", encoding="utf-8") as f:
                f.write(name + "\n")
        self.send_response(303)
        self.send_header("Location", "/")
        self.end_headers()

    def log_message(self, *args):
        pass


http.server.ThreadingHTTPServer(("", PORT), GuestBook).serve_forever()
