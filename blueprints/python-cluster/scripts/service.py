"""One program for the three roles; the files in its directory say which it plays.

row:      a store answers with the row to who sends the token
store:    an application asks the store and says who it is
backends: a balancer passes requests on, one backend after the other
"""

import http.server
import itertools
import os
import socket
import sys
import urllib.request


def read(name):
    with open(name, encoding="utf-8") as file:
        return file.read()


turn = itertools.count()


def balance():
    backends = sorted(os.listdir("backends"))
    if not backends:
        raise OSError("no backend yet")
    first = next(turn)
    for i in range(len(backends)):
        url = read(os.path.join("backends", backends[(first + i) % len(backends)]))
        try:
            return urllib.request.urlopen(url, timeout=5).read().decode()
        except OSError as error:
            failure = error
    raise failure


def application():
    request = urllib.request.Request(read("store"), headers={"Authorization": "Bearer " + read("token")})
    row = urllib.request.urlopen(request, timeout=5).read().decode()
    return f"answered by {socket.gethostname()}\nfrom the store: {row}\n"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        try:
            status, text = 200, self.answer()
        except OSError as error:
            status, text = 502, f"{error}\n"
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def answer(self):
        if os.path.exists("row"):
            if self.headers.get("Authorization") != "Bearer " + read("token"):
                raise OSError("wrong token")
            return read("row")
        if os.path.exists("store"):
            return application()
        return balance()


http.server.ThreadingHTTPServer(("0.0.0.0", int(sys.argv[1])), Handler).serve_forever()
