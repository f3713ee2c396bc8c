"""What stands between the library and a monitor, and does mischief."""

import json
import os
import signal
import socket
import struct
import threading
import time

FORWARD = object()


class Proxy:
    """Stands between the library and the monitor. Descriptors go through, too."""

    def __init__(self, path, monitor):
        self.path, self.monitor = path, monitor
        self.count, self.at, self.mischief = 0, None, None
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        threading.Thread(target=self.accept, daemon=True).start()

    def arm(self, at, mischief):
        """The at-th command from now on meets mischief: a function of the request and the guest's
        socket. It answers what the library gets, or FORWARD."""
        self.count, self.at, self.mischief = 0, at, mischief

    def is_met(self):
        return self.count > self.at

    def accept(self):
        while True:
            client = self.listener.accept()[0]
            guest = socket.socket(socket.AF_UNIX)
            try:
                guest.connect(str(self.monitor))
            except OSError:
                client.close()
                continue
            for work in (self.requests, self.answers):
                threading.Thread(target=work, args=(client, guest), daemon=True).start()

    def requests(self, client, guest):
        while True:
            try:
                data, descriptors, _, _ = socket.recv_fds(client, 1 << 16, 1)
            except OSError:
                data = b""
            if not data:
                break
            answer = FORWARD
            # The library sends the next command after the answer to the last: one line each time.
            if self.at is not None:
                is_this, self.count = self.count == self.at, self.count + 1
                if is_this:
                    answer = self.mischief(json.loads(data), guest)
            if answer is FORWARD:
                try:
                    socket.send_fds(guest, [data], descriptors)
                except OSError:
                    break
            elif answer:
                client.sendall(answer)
            for descriptor in descriptors:
                os.close(descriptor)
        for end in (client, guest):
            shut(end)

    def answers(self, client, guest):
        try:
            while data := guest.recv(1 << 16):
                client.sendall(data)
        except OSError:
            pass
        shut(client)


def shut(end):
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


def refuse(request, _guest):
    error = {"class": "GenericError", "desc": "mischief"}
    return json.dumps({"error": error, "id": request.get("id")}).encode() + b"\n"


def drop(_request, _guest):
    return b""


def delay(seconds):
    def late(_request, _guest):
        time.sleep(seconds)
        return FORWARD

    return late


def kill(_request, guest):
    """The guest's process ends."""
    size = struct.calcsize("3i")
    pid = struct.unpack("3i", guest.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))[0]
    os.kill(pid, signal.SIGKILL)
    return b""
