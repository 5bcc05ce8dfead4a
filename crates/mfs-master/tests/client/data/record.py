#!/usr/bin/env python3
"""Records what the original master answers to the requests of scenarios.py.

    record.py SCENARIO OUT.jsonl            (root; needs moosefs-master 3.0.117, iproute2)

Makes a network namespace with one address for the master and one for each client, starts an empty
master there, sends the requests one after the other and writes one row for each step: the request,
and every frame that any client got because of it. Then the lines of the changelog, one row each.
Frames carry no header: message number and payload in hex.
"""
import ctypes, json, os, shutil, signal, socket, struct, subprocess, sys, tempfile, time

import scenarios

NET = f"antler-rec-{os.getpid()}"
BASE = "10.99.1."
MASTER = BASE + "1"
TIME_SYNC, NOP, CLOSED = 704, 0, 0xFFFFFFFF


def sh(cmd):
    subprocess.run(cmd, shell=True, check=True)


class Client:
    def __init__(self, number, register):
        self.sock = socket.socket()
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.bind((BASE + str(number), 0))
        self.sock.connect((MASTER, 9421))
        self.sock.settimeout(20)
        self.data = b""
        self.closed = False
        self.send(400, register)
        kind, payload = self.frame()
        assert kind == 401 and len(payload) > 1, payload.hex()

    def send(self, kind, payload):
        self.sock.sendall(struct.pack(">II", kind, len(payload)) + payload)

    def read(self, n):
        while len(self.data) < n:
            more = self.sock.recv(1 << 20)
            if not more:
                raise EOFError
            self.data += more
        got, self.data = self.data[:n], self.data[n:]
        return got

    def frame(self):
        while True:
            kind, length = struct.unpack(">II", self.read(8))
            payload = self.read(length)
            if kind != NOP:
                return kind, payload

    def settle(self):
        """Every frame that is there already: two questions make sure that notices are among them."""
        frames = []
        if self.closed:
            return frames
        try:
            for mid in (0xFFFFFFF0, 0xFFFFFFF1):
                self.send(TIME_SYNC, struct.pack(">I", mid))
                while True:
                    kind, payload = self.frame()
                    if kind == TIME_SYNC + 1 and payload[:4] == struct.pack(">I", mid):
                        break
                    frames.append((kind, payload))
        except (EOFError, ConnectionError):
            self.closed = True
            frames.append((CLOSED, b""))
        return frames


def main(name, out):
    steps = scenarios.SCENARIOS[name]
    work = tempfile.mkdtemp()
    os.chmod(work, 0o755)
    data = work + "/data"
    os.mkdir(data)
    shutil.chown(data, "mfs", "mfs")
    with open(work + "/mfsexports.cfg", "w") as f:
        for number, rule in sorted(scenarios.EXPORTS.items()):
            f.write(f"{BASE}{number} {rule}\n")
    with open(work + "/mfsmaster.cfg", "w") as f:
        f.write(f"DATA_PATH = {data}\nEXPORTS_FILENAME = {work}/mfsexports.cfg\nCHANGELOG_SAVE_MODE = 1\n"
                f"MATOCL_LISTEN_HOST = {MASTER}\nMATOCS_LISTEN_HOST = {MASTER}\nMATOML_LISTEN_HOST = {MASTER}\n")
    with open(data + "/metadata.mfs", "wb") as f:
        f.write(b"MFSM NEW")
    shutil.chown(data + "/metadata.mfs", "mfs", "mfs")
    sh(f"ip netns add {NET} && ip -n {NET} link set lo up")
    for number in range(1, 20):
        sh(f"ip -n {NET} addr add {BASE}{number}/32 dev lo")
    registers = {n: scenarios.register(n).hex() for n in sorted(scenarios.EXPORTS)}
    rows = [{"time": int(time.time()), "exports": scenarios.EXPORTS, "register": registers}]
    master = None
    try:
        master = subprocess.Popen(["ip", "netns", "exec", NET, "mfsmaster", "-c", work + "/mfsmaster.cfg", "-f", "start"],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # The clients are in this process: enter the namespace.
        fd = os.open(f"/var/run/netns/{NET}", os.O_RDONLY)
        assert ctypes.CDLL(None, use_errno=True).setns(fd, 0) == 0
        for _ in range(100):
            try:
                socket.create_connection((MASTER, 9421), 1).close()
                break
            except OSError:
                time.sleep(0.1)
        clients = {}
        for step in steps:
            number, kind, payload = step[:3]
            extra = step[3] if len(step) > 3 else {}
            if number not in clients or clients[number].closed:
                clients[number] = Client(number, scenarios.register(number))
                for c in clients.values():
                    c.settle()
            clients[number].send(kind, payload)
            got = {}
            order = [number] + [n for n in clients if n != number]
            for n in order:
                frames = clients[n].settle()
                if frames:
                    got[n] = [[k, p.hex()] for k, p in frames]
            rows.append({"from": number, "type": kind, "hex": payload.hex(), "got": got, **extra})
        time.sleep(0.3)
        lines = []
        for line in open(data + "/changelog.0.mfs", encoding="latin-1"):
            lines.append(line.rstrip("\n").split("|", 1)[1])
    finally:
        if master:
            master.send_signal(signal.SIGKILL)
            master.wait()
        subprocess.run(["ip", "netns", "del", NET])
        shutil.rmtree(work)
    with open(out, "w") as f:
        for row in rows:
            f.write(json.dumps(row, separators=(",", ":")) + "\n")
        for line in lines:
            row = {"line": line}
            if line.split(":")[0] in steps.unwritten:
                row["unwritten"] = True
            f.write(json.dumps(row, separators=(",", ":")) + "\n")
    print(f"{out}: {len(rows) - 1} steps, {len(lines)} lines")


main(*sys.argv[1:3])
