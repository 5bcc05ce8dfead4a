"""Hostile clients and one that works: hostile.py MASTER-IP MOUNT MASTER-PID SECONDS SEED

Sends malformed, cut, oversized and random packets to the master's ports while files are made, looked at,
renamed and removed in the mount. Prints figures: how many connections and operations there were, the slowest
operation, memory of the master, and how many silent connections were still open in the end.
"""

import os
import random
import socket
import struct
import sys
import threading
import time

IP, MOUNT, PID, SECONDS, SEED = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5])
CLIENTS = 9421
PORTS = [9419, 9420, 9421, 9421, 9421, 9421]
BLOB = b"DjI1GAQDULI5d2YjA26ypc3ovkhjvhciTQVx3CS4nYgtBoUcsljiVpsErJENHaw0"
VERSION = 0x000300EA
# Every type that any of the ports knows, roughly: clients, tools, monitoring, chunkservers, metaloggers.
TYPES = [0, 1, 2, 10, 50, 60, 80, *range(100, 190), *range(350, 362), *range(400, 550), *range(700, 708)]
SILENT = 40
stop = threading.Event()
lock = threading.Lock()
figures = {"connections": 0, "operations": 0, "slowest_ms": 0}


def frame(kind, payload, length=None):
    return struct.pack(">II", kind, len(payload) if length is None else length) + payload


def register():
    """A session of the subfolder for hostile ones."""
    path = b"/hostile\0"
    info = b"/garbage\0"
    body = BLOB + struct.pack(">BII", 2, VERSION, len(info)) + info + struct.pack(">I", len(path)) + path
    return frame(400, body)


def noise(rng, limit):
    return rng.randbytes(rng.randrange(limit))


def request(rng):
    """A frame of a known type whose payload is about as long as real ones, or a bit of everything."""
    kind = rng.choice(TYPES)
    inode = rng.choice([0, 1, 0xFFFFFFFF, rng.getrandbits(32) | 0x80000000])
    payload = struct.pack(">II", rng.getrandbits(32), inode)
    shape = rng.randrange(6)
    if shape == 0:
        payload = noise(rng, 100)
    elif shape == 1:
        # A name or a list whose length is a lie.
        payload += bytes([rng.choice([0, 1, 255])]) + noise(rng, 40)
    elif shape == 2:
        payload += struct.pack(">I", rng.choice([0, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 20])) + noise(rng, 40)
    elif shape == 3:
        payload += bytes(rng.randrange(60))
    elif shape == 4:
        payload += b"\xff" * rng.randrange(80)
    else:
        payload += noise(rng, 5000)
    if kind == 400 and rng.random() < 0.7:
        payload = BLOB + bytes([rng.randrange(8)]) + noise(rng, 60)
    return frame(kind, payload)


def attack(rng, sock, port):
    kind = rng.randrange(9)
    if kind == 0:
        sock.sendall(noise(rng, 3000))
    elif kind == 1:
        sock.sendall(frame(rng.choice(TYPES), b"", rng.choice([50_000_001, 500_000_001, 0x7FFFFFFF, 0xFFFFFFFF])))
    elif kind == 2:
        # A long packet is announced and never comes.
        sock.sendall(frame(rng.choice(TYPES), noise(rng, 100_000), 50_000_000))
    elif kind == 3:
        whole = request(rng)
        sock.sendall(whole[: rng.randrange(len(whole))])
        if rng.random() < 0.5:
            sock.shutdown(socket.SHUT_WR)
    elif kind == 4:
        for _ in range(20):
            sock.sendall(request(rng))
    elif kind in (5, 6) and port == CLIENTS:
        # One frame ends the connection when it is bad, so each comes with a few good ones.
        sock.sendall(register())
        for _ in range(rng.randrange(1, 30)):
            sock.sendall(request(rng))
    elif kind == 7:
        # Answers that nobody fetches.
        sock.setblocking(False)
        questions = frame(10, struct.pack(">I", 7)) * 1000
        try:
            for _ in range(100):
                sock.send(questions)
        except BlockingIOError:
            pass
    else:
        for byte in request(rng)[:200]:
            sock.sendall(bytes([byte]))
    sock.settimeout(0.05)
    try:
        while sock.recv(65536):
            if rng.random() < 0.2:
                break
    except (TimeoutError, OSError):
        pass


def hostile(number):
    rng = random.Random(SEED * 100 + number)
    while not stop.is_set():
        port = rng.choice(PORTS)
        try:
            with socket.create_connection((IP, port), 10) as sock:
                with lock:
                    figures["connections"] += 1
                attack(rng, sock, port)
        except OSError:
            # Closed by the master in the middle of it, as it should.
            pass


def timed(operation, *args):
    before = time.monotonic()
    result = operation(*args)
    took = int((time.monotonic() - before) * 1000)
    figures["slowest_ms"] = max(figures["slowest_ms"], took)
    figures["operations"] += 1
    return result


def work():
    home = os.path.join(MOUNT, "work")
    os.mkdir(home)
    number = 0
    while not stop.is_set():
        number += 1
        name = os.path.join(home, str(number))
        timed(lambda: os.close(os.open(name, os.O_CREAT | os.O_WRONLY)))
        timed(os.chmod, name, 0o600)
        assert timed(os.stat, name).st_mode & 0o777 == 0o600
        timed(os.rename, name, name + ".new")
        kept = {f"{old}.new" for old in range(max(1, number - 9), number + 1)}
        assert set(timed(os.listdir, home)) == kept, (os.listdir(home), kept)
        if number >= 10:
            timed(os.unlink, os.path.join(home, f"{number - 9}.new"))


def memory():
    with open(f"/proc/{PID}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def ends(sock, deadline):
    """Whether the master closes a connection before the deadline."""
    try:
        while True:
            sock.settimeout(max(0.01, deadline - time.monotonic()))
            if not sock.recv(65536):
                return True
    except TimeoutError:
        return False
    except OSError:
        return True


os.mkdir(os.path.join(MOUNT, "hostile"))
figures["rss_before"] = memory()
silent = []
for number in range(SILENT):
    sock = socket.create_connection((IP, CLIENTS), 10)
    sock.sendall(register()[: number * 3])
    silent.append(sock)
failures = []


def guarded(function, *args):
    try:
        function(*args)
    except BaseException as error:
        failures.append(f"{function.__name__}: {error!r}")


threads = [threading.Thread(target=guarded, args=(hostile, number)) for number in range(6)]
threads.append(threading.Thread(target=guarded, args=(work,)))
for thread in threads:
    thread.start()
time.sleep(SECONDS)
stop.set()
for thread in threads:
    thread.join()
deadline = time.monotonic() + 60
figures["left_open"] = sum(not ends(sock, deadline) for sock in silent)
figures["rss_after"] = memory()
for name, value in figures.items():
    print(name, value)
if failures:
    sys.exit("\n".join(failures))
