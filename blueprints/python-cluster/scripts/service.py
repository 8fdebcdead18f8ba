"""One program for the three roles; the files in its directory say which it plays.

row:      a store answers with the row to who sends the token
store:    an application asks the store and says who it is
backends: a balancer passes requests on, one backend after the other

It speaks just enough HTTP over plain sockets: the smallest Python of a distribution has no more.
"""

import itertools
import os
import socket
import sys
import threading

PATIENCE = 5  # seconds


def read(name):
    with open(name, encoding="utf-8") as file:
        return file.read()


def receive(connection):
    """The head and body of a message; its end is announced by Content-Length or by closing."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return data.decode(), ""
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    while len(body) < length:
        more = connection.recv(65536)
        if not more:
            raise OSError("the answer broke off")
        body += more
    return head.decode(), body.decode()


def get(url, token=""):
    host, port = url.split("/")[2].split(":")
    with socket.create_connection((host, int(port)), PATIENCE) as connection:
        connection.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n".encode())
        head, body = receive(connection)
    if not head.startswith("HTTP/1.1 200 "):
        raise OSError(f"{url} answers {head.splitlines()[0] if head else 'nothing'}")
    return body


turn = itertools.count()


def balance():
    backends = sorted(os.listdir("backends"))
    failure = OSError("no backend yet")
    first = next(turn)
    for i in range(len(backends)):
        try:
            return get(read(os.path.join("backends", backends[(first + i) % len(backends)])))
        except OSError as error:
            failure = error
    raise failure


def answer(head):
    if os.path.exists("row"):
        if f"authorization: bearer {read('token')}".lower() not in head.lower().splitlines():
            raise OSError("wrong token")
        return read("row")
    if os.path.exists("store"):
        row = get(read("store"), read("token"))
        return f"answered by {socket.gethostname()}\nfrom the store: {row}\n"
    return balance()


def serve(connection):
    with connection:
        connection.settimeout(PATIENCE)
        try:
            head, _ = receive(connection)
            if not head:
                return
            status, text = "200 OK", answer(head)
        except OSError as error:
            status, text = "502 Bad Gateway", f"{error}\n"
        body = text.encode()
        try:
            connection.sendall(f"HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        except OSError:
            pass  # who asked is gone


with socket.socket() as server:
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("0.0.0.0", int(sys.argv[1])))
    server.listen(64)
    while True:
        threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
