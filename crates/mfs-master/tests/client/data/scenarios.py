"""Requests for record.py. Each scenario is a list of steps: (client, message, payload[, extra]).

`extra` may have "ours": {client: [[message, hex], ...]} where we do not follow the original, with "why".
Clients are numbers: the last byte of their address, which chooses their export rule.
"""
from struct import pack

ADMIN, RO, MAPALL, USER, SUB, META, NONE, OTHER, LIMITS, METARO, OLD = 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12
ALL_OPS = ("chown:chmod:symlink:mkfifo:mkdev:mksock:mkdir:unlink:rmdir:rename:move:link:create:readdir:read:write:"
           "truncate:setlength:appendchunks:snapshot:settrash:setsclass:seteattr:setxattr:setfacl")
EXPORTS = {
    ADMIN: "/ rw,admin,maproot=0:0",
    RO: "/ ro,maproot=0:0",
    MAPALL: "/ rw,mapall=500:501,maproot=600:601",
    USER: "/ rw,maproot=999:998,ignoregid",
    SUB: "/ rw,alldirs,admin,maproot=0:0",
    META: ". rw",
    NONE: f"/ rw,admin,maproot=0:0,disable={ALL_OPS}",
    OTHER: "/ rw,admin,maproot=0:0,umask=0027",
    LIMITS: "/ rw,maproot=0:0,mingoal=2,maxgoal=3,mintrashtime=1h,maxtrashtime=2d",
    METARO: ". ro",
    OLD: "/ rw,admin,maproot=0:0",
}
BLOB = b"DjI1GAQDULI5d2YjA26ypc3ovkhjvhciTQVx3CS4nYgtBoUcsljiVpsErJENHaw0"
VERSION, OLD_VERSION = 0x0300EA, 0x030032  # 3.0.117, 3.0.25


def register(number):
    info = b"/mnt/%d\0" % number
    version = OLD_VERSION if number == OLD else VERSION
    if number in (META, METARO):
        return BLOB + pack(">BII", 5, version, len(info)) + info
    path = b"/sub\0" if number == SUB else b"/\0"
    return BLOB + pack(">BII", 2, version, len(info)) + info + pack(">I", len(path)) + path


mid = 0


def m():
    global mid
    mid += 1
    return pack(">I", mid)


def name(n):
    n = n.encode() if isinstance(n, str) else n
    return pack(">B", len(n)) + n


def cred(c):
    uid, *gids = c
    return pack(">II", uid, len(gids)) + b"".join(pack(">I", g) for g in gids)


R0 = (0, 0)
U1, U2, U3 = (1000, 100), (2000, 200), (3000, 300, 100)


def statfs(): return 402, m()
def access(i, c, mask): return 404, m() + pack(">I", i) + cred(c) + pack(">H", mask)
def lookup(p, n, c=R0): return 406, m() + pack(">I", p) + name(n) + cred(c)
def getattr_(i, c=R0, opened=0): return 408, m() + pack(">IBII", i, opened, c[0], c[1])
def setattr_(i, c, mask, mode=0, uid=0, gid=0, at=0, mt=0, win=0, clr=4, opened=0):
    return 410, m() + pack(">IB", i, opened) + cred(c) + pack(">BHIIIIBB", mask, mode, uid, gid, at, mt, win, clr)
def readlink(i): return 412, m() + pack(">I", i)
def symlink(p, n, t, c=R0):
    t = (t.encode() if isinstance(t, str) else t) + b"\0"
    return 414, m() + pack(">I", p) + name(n) + pack(">I", len(t)) + t + cred(c)
def mknod(p, n, kind, mode=0o644, umask=0, c=R0, rdev=0):
    return 416, m() + pack(">I", p) + name(n) + pack(">BHH", kind, mode, umask) + cred(c) + pack(">I", rdev)
def mkdir(p, n, mode=0o755, umask=0, c=R0, sgid=1):
    return 418, m() + pack(">I", p) + name(n) + pack(">HH", mode, umask) + cred(c) + pack(">B", sgid)
def unlink(p, n, c=R0): return 420, m() + pack(">I", p) + name(n) + cred(c)
def rmdir(p, n, c=R0): return 422, m() + pack(">I", p) + name(n) + cred(c)
def rename(p, n, p2, n2, c=R0): return 424, m() + pack(">I", p) + name(n) + pack(">I", p2) + name(n2) + cred(c)
def link(i, p, n, c=R0): return 426, m() + pack(">II", i, p) + name(n) + cred(c)
def readdir(i, c=R0, flags=0, most=0xFFFFFFFF, at=0): return 428, m() + pack(">I", i) + cred(c) + pack(">BIQ", flags, most, at)
def open_(i, c=R0, flags=1): return 430, m() + pack(">I", i) + cred(c) + pack(">B", flags)
def read(i, index=0, flags=0): return 432, m() + pack(">IIB", i, index, flags)
def write(i, index=0, flags=0): return 434, m() + pack(">IIB", i, index, flags)
def wend(chunk, i, index, length, flags=0): return 436, m() + pack(">QIIQB", chunk, i, index, length, flags)
def append(i, src, c=R0, flags=0, start=0, end=0x80000000): return 438, m() + pack(">BIIII", flags, i, src, start, end) + cred(c)
def check(i, index=None): return 440, m() + pack(">I", i) + (b"" if index is None else pack(">I", index))
def gettrash(i, mode=0): return 442, m() + pack(">IB", i, mode)
def settrash(i, uid, t, mode=0): return 444, m() + pack(">IIIB", i, uid, t, mode)
def getgoal(i, mode=0): return 446, m() + pack(">IB", i, mode)
def setgoal(i, uid, goal, mode=0): return 448, m() + pack(">IIBB", i, uid, goal, mode)
def setclass(i, uid, new, mode=0, old=None):
    return 448, m() + pack(">IIBB", i, uid, 255, mode) + (name(old) if old is not None else b"") + name(new)
def trash(bucket=4096): return 450, m() + pack(">I", bucket)
def trash_attr(i, kind=None): return 452, m() + pack(">I", i) + (b"" if kind is None else pack(">B", kind))
def trash_path(i): return 454, m() + pack(">I", i)
def set_path(i, p): return 456, m() + pack(">II", i, len(p)) + p
def undel(i): return 458, m() + pack(">I", i)
def purge(i): return 460, m() + pack(">I", i)
def dirstats(i): return 462, m() + pack(">I", i)
def truncate(i, length, c=R0, flags=0): return 464, m() + pack(">IB", i, flags) + cred(c) + pack(">Q", length)
def repair(i, c=R0): return 466, m() + pack(">I", i) + cred(c)
def snapshot(i, p, n, c=R0, mode=0, umask=0): return 468, m() + pack(">II", i, p) + name(n) + cred(c) + pack(">BH", mode, umask)
def sustained(): return 470, m()
def geteattr(i, mode=0): return 472, m() + pack(">IB", i, mode)
def seteattr(i, uid, bits, mode=0): return 474, m() + pack(">IIBB", i, uid, bits, mode)
def quota(i, flags, limits=None, grace=0):
    body = m() + pack(">IB", i, flags)
    if limits is not None:
        body += pack(">I", grace) + pack(">IQQQIQQQ", *limits)
    return 476, body
def getxattr(i, n, c=R0, mode=0, opened=0): return 478, m() + pack(">I", i) + name(n) + pack(">BB", mode, opened) + cred(c)
def setxattr(i, n, v, c=R0, mode=0, opened=0):
    return 480, m() + pack(">I", i) + name(n) + pack(">I", len(v)) + v + pack(">BB", mode, opened) + cred(c)
def create(p, n, mode=0o644, umask=0, c=R0): return 482, m() + pack(">I", p) + name(n) + pack(">HH", mode, umask) + cred(c)
def parents(i): return 484, m() + pack(">I", i)
def paths(i): return 486, m() + pack(">I", i)
def getfacl(i, kind=1): return 488, m() + pack(">IB", i, kind)
def setfacl(i, uid, kind, u, g, o, mask, users=(), groups=()):
    entries = b"".join(pack(">IH", *e) for e in (*users, *groups))
    return 490, m() + pack(">IIBHHHHHH", i, uid, kind, u, g, o, mask, len(users), len(groups)) + entries
def flock(i, req, owner, cmd): return 492, m() + pack(">IIQB", i, req, owner, cmd)
def plock(i, req, owner, pid, cmd, kind, start, end): return 494, m() + pack(">IIQIBBQQ", i, req, owner, pid, cmd, kind, start, end)
def arch(i, cmd, uid=None): return 496, m() + pack(">IB", i, cmd) + (b"" if uid is None else pack(">I", uid))
def node(i, most=100, at=0): return 546, m() + pack(">IIQ", i, most, at)
def opened(*inodes): return 700, b"".join(pack(">I", i) for i in inodes)
def amtime(*rows): return 701, b"".join(pack(">III", *r) for r in rows)


def only_status(client, request, code):
    """What we answer where the original does more or something else."""
    kind, payload = request
    return {client: [[kind + 1, payload[:4].hex() + "%02x" % code]]}


class Steps(list):
    unwritten = ()  # lines of the original that we do not write

    def __call__(self, client, request, **extra):
        self.append((client, *request, extra))


SCENARIOS = {}


def scenario(build):
    steps = Steps()
    build(steps)
    SCENARIOS[build.__name__] = steps
    return build


@scenario
def names(s):
    """Order of checks of everything that makes, moves and removes names."""
    a = ADMIN
    s(a, mkdir(1, "pub", 0o777))                                   # 2
    s(a, mkdir(1, "priv", 0o700))                                  # 3
    s(a, mkdir(1, "sticky", 0o1777))                               # 4
    s(a, mknod(1, "file", 1))                                      # 5
    for n in ("", ".", "..", "a/b", b"a\0b", "x" * 255):
        s(a, mkdir(2, n, c=U1))
        s(a, mknod(2, n, 1, c=U1))
        s(a, symlink(2, n, "t", c=U1))
        s(a, create(2, n, c=U1))
        s(a, lookup(2, n, U1))
        s(a, unlink(2, n, U1))
        s(a, rmdir(2, n, U1))
        s(a, rename(2, n, 2, "other", U1))
        s(a, rename(1, "file", 2, n, U1))
        s(a, link(5, 2, n, U1))
    for kind in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, *b"fdlqbcsx"):
        s(a, mknod(2, f"k{kind}", kind, 0o6755, 0o022, U1, 0x0507))
    for p in (2, 3, 5, 77, 0):
        for c in (R0, U1):
            for n in ("n", "", "file"):
                s(a, mkdir(p, n, c=c))
                s(a, mknod(p, n, 9, c=c))
                s(a, mknod(p, n, 4, c=c))
                s(a, symlink(p, n, "", c))
                s(a, symlink(p, n + "s", "target", c))
                s(a, symlink(p, n + "z", b"a\0b", c))
                s(a, unlink(p, n, c))
                s(a, rmdir(p, n, c))
                s(a, lookup(p, n, c))
                s(a, rename(p, n, 2, "q", c))
                s(a, rename(2, "n", p, n, c))
                s(a, link(5, p, n, c))
                s(a, link(2, p, n, c))
    for length in (4096, 4097):
        s(a, symlink(2, f"to{length}", "x" * length))
        s(a, readlink(0))
    # sticky directory: files of two owners
    s(a, create(4, "u1", c=U1))
    s(a, create(4, "u2", c=U2))
    s(a, mkdir(4, "d1", c=U1))
    s(a, mkdir(4, "d2", c=U2))
    for c in (U2, U1):
        s(a, rename(4, "u1", 4, "u1b", c))
        s(a, rename(4, "u1b", 4, "u2", c))
        s(a, rename(4, "d1", 4, "d2", c))
        s(a, rename(2, "q", 4, "u1", c))
        s(a, unlink(4, "u1", c))
        s(a, unlink(4, "u1b", c))
        s(a, rmdir(4, "d1", c))
        s(a, unlink(4, "d1", c))
        s(a, rmdir(4, "u2", c))
    s(a, readdir(4))
    s(a, readdir(2, U1, 1))
    # trees
    s(a, mkdir(1, "t"))
    s(a, lookup(1, "t"))


@scenario
def moves(s):
    a = ADMIN
    s(a, mkdir(1, "a", 0o777))                 # 2
    s(a, mkdir(2, "b", 0o777))                 # 3
    s(a, mkdir(3, "c", 0o777))                 # 4
    s(a, mkdir(1, "e", 0o777))                 # 5
    s(a, create(1, "f"))                       # 6
    s(a, create(2, "g", c=U1))                 # 7
    s(a, symlink(2, "l", "target"))            # 8
    s(a, rename(1, "a", 4, "x"))
    s(a, rename(1, "a", 3, "x"))
    s(a, rename(2, "b", 1, "e"))
    s(a, rename(1, "e", 2, "b"))
    s(a, rename(1, "f", 1, "e"))
    s(a, lookup(1, "e"))
    s(a, mkdir(1, "h", 0o777))
    s(a, rename(1, "h", 2, "l"))
    s(a, lookup(2, "l"))
    s(a, mkdir(1, "own", 0o755, c=U1))
    s(a, setattr_(1, R0, 2, mode=0o777))
    s(a, rename(1, "own", 2, "own", U2))
    s(a, rename(1, "own", 1, "own2", U2))
    s(a, rename(1, "own2", 2, "own", U1))
    s(a, link(7, 1, "g2"))
    s(a, link(7, 1, "g3"))
    s(a, rename(2, "g", 1, "g2"))
    s(a, lookup(1, "g2"))
    s(a, rename(1, "g3", 1, "g4"))
    s(a, parents(7))
    s(a, paths(7))
    s(a, readdir(1, flags=1))
    s(a, readdir(2, flags=1))
    s(a, unlink(1, "g4"))
    s(a, unlink(1, "g2"))
    s(a, lookup(1, "g2"))
    s(a, rmdir(1, "a"))
    s(a, unlink(1, "a"))
    for p in range(1, 14):
        s(a, getattr_(p))
    s(a, statfs())
    # a directory onto itself by its name
    s(a, rename(1, "e", 1, "e"))
    s.unwritten = ["MOVE(1,e,1,e)"]


@scenario
def attributes(s):
    """SETATTR: who may, and the table of suid and sgid."""
    a = ADMIN
    s(a, mkdir(1, "d", 0o777))  # 2
    n = [2]

    def make(mode, is_dir, c=U1):
        n[0] += 1
        if is_dir:
            s(a, mkdir(2, f"n{n[0]}", mode, c=c, sgid=0))
        else:
            s(a, mknod(2, f"n{n[0]}", 1, mode, c=c))
        return n[0]

    for clear in range(7):
        for caller in (R0, (1000, 100, 101)):
            for mode, is_dir in ((0o6755, 0), (0o6745, 0), (0o6755, 1), (0o4755, 0), (0o2755, 0), (0o2745, 0)):
                i = make(mode, is_dir)
                s(a, setattr_(i, caller, 8, gid=101, clr=clear))
                i = make(mode, is_dir)
                s(a, setattr_(i, caller, 8, gid=100, clr=clear))
                i = make(mode, is_dir)
                s(a, setattr_(i, caller, 0x0E, mode=0o755, uid=1000, gid=101, clr=clear))
                i = make(mode, is_dir)
                s(a, setattr_(i, caller, 0x0A, mode=0o6777, gid=101, clr=clear))
    i = make(0o644, 0)
    for c in (R0, U1, U2, (2000, 100), (1000, 5)):
        for mask in (0, 1, 2, 4, 8, 0x10, 0x20, 0x40, 0x80, 0x90, 0x0C, 0x12, 0x21):
            for uid, gid in ((1000, 100), (7, 7)):
                s(a, setattr_(i, c, mask, mode=0o2664, uid=uid, gid=gid, at=11, mt=12, win=9))
        s(a, setattr_(i, R0, 0xE, mode=0o644, uid=1000, gid=100))
    i = make(0o6777, 0)
    s(a, setattr_(i, U2, 2, mode=0o777))
    s(a, setattr_(i, U2, 2, mode=0o2777))
    s(a, setattr_(i, R0, 2, mode=0o6777))
    s(a, setattr_(i, U2, 2, mode=0o776))
    s(a, setattr_(i, (1000, 200), 2, mode=0o2777))
    for client in (MAPALL, USER, RO, LIMITS, OTHER):
        for c in (R0, U1, (500, 501), (999, 998)):
            s(client, getattr_(i, c))
            s(client, setattr_(i, c, 2, mode=0o666))
            s(client, setattr_(i, c, 8, gid=c[1]))
            s(client, setattr_(i, c, 4, uid=c[0]))
            s(client, create(2, f"by{client}-{c[0]}", 0o6666, 0o011, c))
            s(client, mkdir(2, f"d{client}-{c[0]}", 0o7777, 0o011, c))
            s(client, lookup(2, f"by{client}-{c[0]}", c))
            s(client, access(i, c, 2))
            s(client, access(i, c, 7))
    s(a, setattr_(77, R0, 2, mode=0))
    s(a, setattr_(1, U1, 2, mode=0))
    # a directory with sgid
    s(a, mkdir(1, "sg", 0o2777, c=(0, 55), sgid=0))
    s(a, lookup(1, "sg"))
    s(a, setattr_(1, R0, 2, mode=0o777))


@scenario
def sgid(s):
    a = ADMIN
    s(a, mkdir(1, "d", 0o777, c=(0, 55)))     # 2
    s(a, setattr_(2, R0, 2, mode=0o2777))
    for i, c in enumerate((R0, U1, U3)):
        s(a, mkdir(2, f"m{i}", 0o2755, 0, c, 0))
        s(a, mkdir(2, f"n{i}", 0o755, 0, c, 1))
        s(a, mknod(2, f"o{i}", 2, 0o755, 0, c))
        s(a, create(2, f"p{i}", 0o2755, 0, c))
        s(a, symlink(2, f"q{i}", "x", c))
        s(a, mknod(2, f"r{i}", 6, 0o644, 0, c, 77))
    s(a, readdir(2, flags=1))
    s(OTHER, mkdir(2, "umask", 0o777, 0o100, U1))
    s(OTHER, symlink(2, "umask-l", "x", U1))


@scenario
def permissions(s):
    """Classes of callers: mode bits, ACLs, lookup flags, access."""
    a = ADMIN
    s(a, mkdir(1, "d", 0o777))  # 2
    callers = (R0, U1, U2, U3, (5, 6, 7, 300))
    i = 2
    for mode in (0o000, 0o400, 0o640, 0o754, 0o777, 0o077, 0o107, 0o070):
        i += 1
        s(a, mknod(2, f"f{mode:o}", 1, mode, 0, U1))
        for client in (a, USER, MAPALL):
            for c in callers:
                s(client, lookup(2, f"f{mode:o}", c))
                for mask in (1, 2, 4, 6, 7, 0, 8):
                    s(client, access(i, c, mask))
                s(client, open_(i, c, 1))
                s(client, open_(i, c, 2))
                s(client, open_(i, c, 3))
    s(a, setattr_(3, R0, 2, mode=0o750))
    s(a, setfacl(3, 1000, 1, 6, 4, 0, 6, [(2000, 7), (2001, 0)], [(300, 2), (100, 4)]))
    s(a, getfacl(3))
    s(a, getattr_(3))
    for c in (*callers, (2001, 1), (9, 9, 100, 300)):
        s(a, lookup(2, "f0", c))
        s(a, access(3, c, 6))
    s(a, setattr_(3, U1, 2, mode=0o765))
    s(a, getfacl(3))
    s(a, setattr_(3, R0, 8, gid=9))
    s(a, getfacl(3))
    for u, g, o, k, users in ((7, 5, 5, 0xFFFF, []), (0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF, []), (0xFFFF, 6, 0xFFFF, 5, []),
                              (6, 4, 4, 7, [(1, 7)]), (0xFFFF, 0xFFFF, 0xFFFF, 4, [(1, 7)]), (7, 7, 7, 0xFFFF, [(4, 4)])):
        s(a, setfacl(3, 0, 1, u, g, o, k, users))
        s(a, getfacl(3))
        s(a, getattr_(3))
        s(a, lookup(2, "f0", (4, 4)))
        s(a, setfacl(2, 0, 2, u, g, o, k, users))
        s(a, getfacl(2, 2))
        s(a, mkdir(2, f"d{u}{g}{k}", 0o7777, 0o022, U1))
        s(a, create(2, f"e{u}{g}{k}", 0o6666, 0o022, U1))
        s(a, symlink(2, f"l{u}{g}{k}", "t", U1))
        s(a, mknod(2, f"k{u}{g}{k}", 4, 0o666, 0o022, U1))
    s(a, readdir(2, flags=1))
    for who in (0, 1000, 2000):
        s(a, setfacl(4, who, 1, 7, 7, 7, 0xFFFF))
        s(a, setfacl(4, who, 3, 7, 7, 7, 0xFFFF))
        s(a, setfacl(77, who, 1, 7, 7, 7, 0xFFFF))
    s(RO, setfacl(4, 0, 1, 7, 7, 7, 0xFFFF))
    s(a, getfacl(4))
    s(a, getfacl(4, 2))
    s(a, getfacl(77))


@scenario
def listing(s):
    """READDIR in all forms."""
    a = ADMIN
    s(a, mkdir(1, "sub", 0o755))    # 2
    for i in range(5):
        s(a, create(2, f"file{i}", c=U1))
    s(a, mkdir(2, "dir"))           # 8
    s(a, symlink(2, "link", "file0"))
    s(a, mknod(2, "dev", 5, rdev=0x0801))
    for flags in (0, 1, 2, 3):
        for most in (0, 1, 2, 3, 5, 0xFFFFFFFF):
            s(a, readdir(2, R0, flags, most))
    top = 0x7FFFFFFFFFFFFFFE
    for at in (1, 2, top - 3, top - 8, top - 9, top, 1 << 63):
        s(a, readdir(2, R0, 0, 4, at))
        s(a, readdir(2, R0, 1, 4, at))
    s(a, unlink(2, "file3"))
    for at in (top - 4, top - 5, top - 3):
        s(a, readdir(2, R0, 0, 4, at))
    for client in (a, SUB):
        for i in (1, 2, 3, 8, 99):
            for flags in (0, 1):
                s(client, readdir(i, R0, flags))
                s(client, readdir(i, U2, flags))
    s(a, setattr_(2, R0, 2, mode=0o744))
    s(a, readdir(2, U2, 0))
    s(a, readdir(2, U2, 1))
    s(a, readdir(2, U2, 1, 9, 1))
    s(a, setattr_(2, R0, 2, mode=0o711))
    s(a, readdir(2, U2, 0))
    s(a, readdir(2, U2, 0, 9, 1))
    s(NONE, readdir(2))
    # old forms
    s(a, (428, m() + pack(">III", 2, 0, 0)))
    s(a, (428, m() + pack(">IIIB", 2, 0, 0, 1)))
    s(a, (428, m() + pack(">IIIBIQ", 2, 0, 0, 1, 3, 0)))
    s(a, seteattr(2, 0, 4))
    s(a, readdir(2, flags=1))
    s(a, readdir(1, flags=1))
    s(a, lookup(2, "nothing"))
    s(a, lookup(2, "file1"))
    s(OLD, readdir(2, flags=1))


@scenario
def subfolder(s):
    a = ADMIN
    s(a, mkdir(1, "sub", 0o777))    # 2
    s(a, mkdir(2, "in", 0o777))     # 3
    s(a, create(1, "out"))          # 4
    s(a, create(2, "both"))         # 5
    s(a, link(5, 1, "both-out"))
    s(a, create(3, "deep"))         # 6
    b = SUB
    for i in (1, 2, 3, 4, 5, 6, 7):
        s(b, getattr_(i))
        s(b, getattr_(i, opened=1))
        s(b, access(i, U1, 4))
        s(b, setattr_(i, R0, 2, mode=0o755))
        s(b, setattr_(i, R0, 2, mode=0o755, opened=1))
        s(b, readdir(i))
        s(b, open_(i))
        s(b, parents(i))
        s(b, paths(i))
        s(b, dirstats(i))
        s(b, node(i))
        s(b, truncate(i, 5))
        s(b, truncate(i, 6, flags=1))
        s(b, getxattr(i, ""))
        s(b, getxattr(i, "", opened=1))
        s(b, getfacl(i))
        s(b, read(i))
        s(b, check(i))
        s(b, lookup(i, "."))
        s(b, lookup(i, ".."))
        s(b, link(5, i, f"l{i}"))
        s(b, getgoal(i, 1))
        s(b, gettrash(i, 1))
        s(b, geteattr(i, 1))
        s(b, arch(i, 2))
        s(b, quota(i, 0))
    s(b, rename(1, "in", 1, "in2"))
    s(b, rename(1, "in2", 2, "in3"))
    s(b, mkdir(1, "new"))
    s(b, unlink(1, "both"))
    s(b, getattr_(5))
    s(b, statfs())
    s(a, statfs())
    s(a, parents(1))
    s(a, paths(1))
    s(META, getattr_(1))
    s(META, lookup(1, "x"))
    s(META, statfs())
    s(META, readdir(1))


@scenario
def opening(s):
    """OPEN, CREATE, cache flags, lengths, notices, sustained files."""
    a, b = ADMIN, OTHER
    s(a, create(1, "f"))            # 2
    s(a, mkdir(1, "d"))             # 3
    s(a, create(1, "u", 0o600, 0, U1))  # 4
    for flags in (0, 1, 2, 3, 5, 7, 8, 10, 0x0B, 0x11, 0x15, 0x0D):
        for i in (2, 3, 4, 9):
            for c in (R0, U2):
                s(a, open_(i, c, flags))
        s(RO, open_(2, R0, flags))
        s(NONE, open_(2, R0, flags))
    s(b, open_(2))
    for client in (a, b, a):
        s(client, lookup(1, "f"))
        s(client, open_(2))
        s(client, read(2))
        s(client, lookup(1, "f"))
        s(client, open_(2))
        s(client, open_(2, flags=0x11))
    for length in (10, 10, 5, 0, 70000, 1 << 26, (1 << 26) + 1, 1 << 57, (1 << 57) + 1, 3):
        for flags in (0, 1, 4, 5):
            s(a, truncate(2, length, R0, flags))
            s(b, truncate(2, length, U2, flags))
        s(a, lookup(1, "f"))
        s(b, lookup(1, "f"))
        s(a, dirstats(1))
        s(a, check(2))
        s(a, check(2, 0))
    s(a, truncate(3, 5))
    s(a, truncate(4, 5, U2))
    s(a, truncate(4, 5, U2, 1))
    s(a, truncate(9, 5))
    s(RO, truncate(2, 5))
    # appends
    s(b, truncate(2, 9, flags=0x0B))
    s(a, truncate(2, 10, flags=0x0B))
    s(a, truncate(2, 5, flags=0x09))
    s(a, truncate(2, 27, flags=3))
    s(a, truncate(2, 20, flags=3), why="the original announces 20 although the file stays as it is", ours=True)
    s(b, getattr_(2))
    s(a, truncate(2, 1, flags=0x0B))
    s(a, truncate(2, 0))
    s(a, truncate(2, 1, flags=0x0B))
    s(a, truncate(2, 1 << 57, flags=8))
    # deleted while open
    s(a, create(1, "gone"))         # 5
    s(a, settrash(5, 0, 0))
    s(a, unlink(1, "gone"))
    s(a, getattr_(5))
    s(a, setattr_(5, R0, 2, mode=0o600))
    s(a, truncate(5, 100, flags=1))
    s(a, open_(5))
    s(a, link(5, 1, "back"))
    s(a, paths(5))
    s(a, statfs())
    s(META, sustained())
    s(META, trash_attr(5))
    s(META, trash_attr(5, 1))
    s(META, trash_attr(5, 2))
    s(META, trash_attr(5, 3))
    s(META, getattr_(5))
    s(META, purge(5))
    s(a, opened(2, 1, 0, 3))
    s(a, opened(3, 2))
    s(b, opened())
    # times
    s(a, amtime((2, 5, 7), (99, 1, 1), (3, 0, 0)))
    s(a, setattr_(2, R0, 0x60, at=100, mt=100))
    s(a, amtime((2, 200, 0)))
    s(a, amtime((2, 0, 300)))
    s(a, amtime((2, 100000, 299)))
    s(a, getattr_(2))
    s(a, symlink(1, "l", "somewhere"))  # 6
    s(a, setattr_(6, R0, 0x60, at=100, mt=100))
    s(a, readlink(6))
    s(a, readlink(6))
    s(a, readlink(2))
    s(a, readlink(88))
    s(a, setattr_(3, R0, 0x60, at=100, mt=100))
    s(a, readdir(3))
    s(a, getattr_(3))
    s(a, getattr_(6))


@scenario
def chunks(s):
    """Reading and writing without chunkservers."""
    a = ADMIN
    s(a, create(1, "f"))            # 2
    s(a, truncate(2, 100))
    for client in (a, RO, NONE):
        for i in (1, 2, 9):
            for index in (0, 1, 0x7FFFFFFF, 0x80000000):
                s(client, read(i, index))
                s(client, write(i, index))
    s(a, wend(5, 2, 0, 50))
    s.unwritten = ["UNLOCK(5)"]
    for client, code in ((RO, 33), (NONE, 1)):
        r = wend(5, 2, 0, 50)
        s(client, r, why="who may not write announces nothing", ours=only_status(client, r, code))
    s(a, repair(2))
    s(a, repair(1))
    s(RO, repair(2))
    s(a, node(2))
    s(a, node(1))
    s(a, node(1, 0))
    s(a, node(9))


@scenario
def flags(s):
    """Extra attributes and what they forbid."""
    a = ADMIN
    s(a, mkdir(1, "d", 0o777))      # 2
    bits = (1, 2, 4, 8, 0x10, 0x20, 0x40, 0x80, 0xFF)
    for bit in bits:
        s(a, mkdir(2, f"dir{bit}", 0o777, c=U1))
        s(a, create(2, f"file{bit}", 0o666, 0, U1))
    top = 2 + 2 * len(bits)
    for k, bit in enumerate(bits):
        d, f = 3 + 2 * k, 4 + 2 * k
        s(a, create(d, "in", c=U1))
        s(a, mkdir(d, "sub", c=U1))
        for i in (d, f):
            s(USER, seteattr(i, 1000, bit))
            s(a, seteattr(i, 2000, bit, 1))
            s(a, seteattr(i, 1000, bit, 1))
            s(a, seteattr(i, 1000, bit, 1))
        top += 2
    for k, bit in enumerate(bits):
        d, f = 3 + 2 * k, 4 + 2 * k
        for c in (U1, U2):
            s(a, create(d, "new", c=c))
            s(a, create(d, "new2", c=c))
            s(a, mkdir(d, "newd", c=c))
            s(a, link(f, d, "ln", c))
            s(a, rename(d, "new", d, "newer", c))
            s(a, rename(2, f"file{bit}", 2, f"moved{bit}", c))
            s(a, rename(2, f"moved{bit}", 2, f"file{bit}", c))
            s(a, rename(2, f"file{bit}", d, "taken", c))
            s(a, rename(d, "taken", 2, f"file{bit}", c))
            s(a, create(2, f"other{bit}", c=c))
            s(a, rename(2, f"other{bit}", 2, f"file{bit}", c))
            s(a, setattr_(f, c, 2, mode=0o666))
            s(a, setattr_(f, c, 8, gid=100))
            s(a, setattr_(f, c, 0x10))
            s(a, truncate(f, 5, c))
            s(a, truncate(f, 6, c, 3))
            if c == U1:
                s(a, truncate(f, 6, c, 0x0B))
            s(a, open_(f, c, 2))
            s(a, open_(f, c, 8))
            s(a, open_(f, c, 1))
            s(a, access(f, c, 2))
            s(a, lookup(2, f"file{bit}", c))
            s(a, lookup(2, f"dir{bit}", c))
            s(a, lookup(d, "none", c))
            s(a, setxattr(f, "user.x", b"1", c))
            s(a, setfacl(f, c[0], 1, 6, 6, 6, 0xFFFF))
            s(a, settrash(f, c[0], 7200))
            s(a, setgoal(f, c[0], 3))
            s(a, getattr_(f, c))
            s(a, readdir(d, c, 1))
        s(a, unlink(d, "new2"))
        s(a, rmdir(d, "newd"))
        s(a, rmdir(2, f"dir{bit}"))
        s(a, unlink(2, f"file{bit}"))
    s(a, geteattr(2))
    s(a, geteattr(2, 1))
    s(a, geteattr(2, 2))
    s(OLD, geteattr(2, 1))
    s(a, geteattr(99))
    for mode in range(9):
        s(a, seteattr(2, 0, 3, mode))
        s(a, seteattr(2, 1000, 2, mode))
    s(a, geteattr(1, 1))
    s(LIMITS, seteattr(2, 0, 0x20))
    s(RO, seteattr(2, 0, 1))
    s(NONE, seteattr(2, 0, 1))
    s(a, seteattr(99, 0, 1))


@scenario
def classes(s):
    """Storage classes, goals, trash times, archive flag."""
    a = ADMIN
    def sc(admin=0, mode=1, delay=0, c=1, k=1, r=1, mask=1):
        return pack(">BBHBBB", admin, mode, delay, c, k, r) + pack(">4I", mask, 0, 0, 0) * (c + k + r)

    def sc_create(n, fver=0, **kw): return 350, m() + name(n) + pack(">B", fver) + sc(**kw)
    def sc_change(n, mask, fver=0, **kw): return 352, m() + name(n) + pack(">BH", fver, mask) + sc(**kw)
    def sc_del(n): return 354, m() + name(n)
    def sc_dup(o, n): return 356, m() + name(o) + name(n)
    def sc_ren(o, n): return 358, m() + name(o) + name(n)
    def sc_list(v): return 360, m() + pack(">B", v)

    for client in (a, LIMITS):
        s(client, sc_create("fast"))
        s(client, sc_create("fast"))
        s(client, sc_create(""))
        s(client, sc_create(b"a\0b"))
        s(client, sc_create("none", c=0))
        s(client, sc_create("many", k=10))
        s(client, sc_create("fast", c=0))
        s(client, sc_create("slow/er", admin=1, mode=2, delay=30, c=2, k=3, r=1, mask=6))
        s(client, sc_create("1"))
        s(client, sc_dup("fast", "copy"))
        s(client, sc_dup("nope", "copy2"))
        s(client, sc_dup("fast", "copy"))
        s(client, sc_dup("1", "one"))
        s(client, sc_dup("", "x"))
        s(client, sc_ren("copy", "kopie"))
        s(client, sc_ren("copy", "x"))
        s(client, sc_ren("kopie", "kopie"))
        s(client, sc_ren("kopie", "fast"))
        s(client, sc_ren("3", "drei"))
        s(client, sc_ren("9", "neun"))
        s(client, sc_del("kopie"))
        s(client, sc_del("kopie"))
        s(client, sc_del("9"))
        s(client, sc_del(""))
        for mask in (0, 1, 2, 4, 8, 0x10, 0x20, 0x3F, 0x8000, 0x8002):
            s(client, sc_change("fast", mask, admin=0, mode=0, delay=5, c=2, k=3, r=4))
            s(client, sc_change("3", mask, mode=2))
            s(client, sc_change("9", mask, mode=2))
            s(client, sc_change("none", mask))
            s(client, sc_change("", mask))
            s(client, sc_change("fast", mask, c=0, k=10, r=0))
        s(client, sc_list(0))
        s(client, sc_list(1))
    s(a, mkdir(1, "d", 0o777))       # 2
    s(a, create(2, "f", c=U1))       # 3
    s(a, create(2, "g", c=U2))       # 4
    s(a, symlink(2, "l", "x"))       # 5
    s(a, mkdir(2, "e", c=U1))        # 6
    s(a, create(6, "h", c=U1))       # 7
    for mode in range(9):
        for goal in (0, 1, 3, 9, 10, 254):
            s(a, setgoal(3, 1000, goal, mode))
            s(a, setgoal(2, 1000, goal, mode))
            s(LIMITS, setgoal(3, 1000, goal, mode))
        for i in (2, 3, 5, 99):
            s(a, setgoal(i, 0, 2, mode))
            s(a, getgoal(i, mode))
            s(a, settrash(i, 1000, 3600 * 5, mode))
            s(a, settrash(i, 0, 3600 * 7, mode))
            s(LIMITS, settrash(i, 0, 60, mode))
            s(LIMITS, settrash(i, 0, 3 * 86400, mode))
            s(a, gettrash(i, mode))
        if mode & 3 == 3:
            s(a, setclass(2, 0, "fast", mode, "2"))
            s(a, setclass(2, 0, "2", mode, "fast"))
            s(a, setclass(2, 0, "nope", mode, "fast"))
            s(a, setclass(2, 0, "fast", mode, "nope"))
        else:
            s(a, setclass(2, 0, "fast", mode))
            s(a, setclass(2, 1000, "4", mode))
            s(a, setclass(2, 0, "nope", mode))
    for seconds in (0, 1, 3600, 3601, 65536 * 3600, 0xFFFFFFFF, 65535 * 3600 + 1):
        s(a, settrash(3, 0, seconds))
        s(a, gettrash(3))
    s(a, setclass(2, 0, "fast", 4))
    s(a, getgoal(2, 1))
    s(a, sc_del("fast"))
    s(a, arch(2, 2))
    s(a, arch(3, 1, 0))
    s(a, arch(3, 0, 2000))
    s(a, arch(3, 0, 1000))
    s(a, arch(5, 2))
    s(a, arch(99, 2))
    s(RO, arch(3, 1, 0))
    s(NONE, arch(3, 1, 0))
    s(NONE, arch(3, 2))
    s(RO, setgoal(3, 0, 2))
    s(NONE, setgoal(3, 0, 2))
    s(RO, settrash(3, 0, 2))
    s(NONE, settrash(3, 0, 2))
    s(a, dirstats(2))
    s(a, dirstats(3))
    s(a, dirstats(5))


@scenario
def trashcan(s):
    a = ADMIN
    s(a, mkdir(1, "d", 0o777))       # 2
    s(a, mkdir(2, "e", 0o777))       # 3
    for i, n in enumerate(("f", "g|h", "x" * 250)):
        s(a, create(3, n))           # 4..6
        s(a, truncate(4 + i, 1000 * (i + 1)))
    s(a, create(1, "top"))           # 7
    for p, n in ((3, "f"), (3, "g|h"), (3, "x" * 250), (1, "top")):
        s(a, unlink(p, n))
    s(a, statfs())
    s(a, getattr_(4))
    s(a, paths(4))
    for client in (META, METARO, a):
        s(client, trash())
        s(client, trash(4))
        s(client, trash(5000))
        s(client, (450, m()))
        s(client, sustained())
        for i in (4, 6, 7, 1, 2, 99):
            for kind in (None, 0, 1, 2, 3):
                s(client, trash_attr(i, kind))
            s(client, trash_path(i))
            s(client, getattr_(i))
            s(client, getgoal(i))
            s(client, gettrash(i))
            s(client, check(i))
            s(client, paths(i))
            s(client, dirstats(i))
            s(client, quota(i, 0))
    for client in (METARO, a):
        s(client, set_path(4, b"x"))
        s(client, undel(4))
        s(client, purge(4))
    for path in (b"", b"a\0b", b"x" * 1025, b"x" * 1024, b"new/place/f", b"/lead//ing", b"."):
        s(META, set_path(4, path))
        s(META, trash_path(4))
        s(META, undel(4))
        s(META, set_path(1, path))
        s(META, set_path(99, path))
    s(a, lookup(1, "new"))
    s(a, paths(4))
    s(META, undel(99))
    s(META, undel(1))
    s(META, purge(1))
    s(META, purge(99))
    s(a, create(1, "top"))
    s(META, undel(7))
    s(META, set_path(7, b"top/under"))
    s(META, undel(7))
    s(META, set_path(7, b"d/x/y/z"))
    s(META, undel(7))
    s(a, readdir(2, flags=1))
    s(a, paths(7))
    s(META, purge(5))
    s(META, purge(6))
    s(META, trash())
    s(a, statfs())
    s(a, link(6, 1, "no"))
    s(a, create(1, "again"))
    s(a, unlink(1, "again"))
    s(META, settrash(10, 0, 3600))
    s(META, setgoal(10, 0, 3))
    s(META, truncate(10, 5, flags=1))
    s(META, setattr_(10, R0, 2, mode=0o600))
    s(a, open_(10, flags=2))


@scenario
def quotas(s):
    a = ADMIN
    s(a, mkdir(1, "q", 0o777))       # 2
    s(a, mkdir(2, "in", 0o777))      # 3
    s(a, mkdir(3, "deep", 0o777))    # 4
    s(a, create(1, "f"))             # 5
    none = (0,) * 8
    for client in (RO, LIMITS, USER, META, NONE):
        s(client, quota(2, 0))
        s(client, quota(2, 0x10, (0, 0, 0, 0, 5, 0, 0, 0)))
        s(client, quota(2, 0x10))
    s(a, quota(5, 0))
    s(a, quota(99, 0))
    s(a, quota(5, 0x10, none))
    s(a, quota(99, 0x10, none))
    s(a, quota(2, 0x30, (1, 2, 3, 4, 4, 1000, 7, 8)))
    s(a, quota(2, 0))
    s(a, quota(2, 0x10))
    s(a, quota(2, 0xC0))
    s(a, quota(2, 0x70, (0, 0, 0, 0, 6, 1000, 100000, 8)))
    for i in range(6):
        s(a, create(4, f"c{i}"))
        s(a, mkdir(4, f"d{i}"))
        s(a, symlink(4, f"l{i}", "x" * 400))
        s(a, link(5, 4, f"h{i}"))
    s(a, quota(2, 0))
    s(a, truncate(5, 700))
    s(a, link(5, 1, "f2"))
    s(a, truncate(5, 5000))
    s(a, truncate(5, 10))
    s(a, lookup(4, "c0"))
    s(a, rename(1, "f", 2, "f"))
    s(a, rename(4, "c0", 1, "c0"))
    s(a, rename(1, "f2", 4, "f2"))
    s(a, rename(1, "f", 4, "h0"))
    s(a, statfs())
    s(a, readdir(4))
    s(a, snapshot(4, 1, "snap"))
    s(a, snapshot(1, 2, "snap"))
    s(a, snapshot(5, 2, "snap"))
    s(a, append(5, 6))
    s(a, quota(2, 0xFF))
    s(a, quota(2, 0))


@scenario
def snapshots(s):
    a = ADMIN
    s(a, mkdir(1, "src", 0o755, c=U1))       # 2
    s(a, setattr_(1, R0, 2, mode=0o777))
    s(a, create(2, "f", 0o6755, 0, U1))      # 3
    s(a, create(2, "secret", 0o600, 0, U1))  # 4
    s(a, mkdir(2, "closed", 0o700, c=U1))    # 5
    s(a, create(5, "x", c=U1))               # 6
    s(a, symlink(2, "l", "target", U1))
    s(a, mknod(2, "dev", 6, 0o644, 0, U1, 77))
    s(a, link(3, 2, "f2"))
    s(a, truncate(3, 12345))
    s(a, setxattr(3, "user.a", b"v"))
    s(a, setfacl(3, 0, 1, 7, 5, 4, 6, [(7, 7)]))
    s(a, seteattr(3, 0, 8))
    s(a, settrash(3, 0, 7200))
    s(a, setgoal(3, 0, 3))
    s(a, setattr_(2, R0, 0x60, at=1000, mt=2000))
    n = 0
    for c in (R0, U1, U2):
        for mode in (0, 1, 2, 8, 10, 3):
            s(a, snapshot(2, 1, f"s{n}", c, mode, 0o027))
            s(a, lookup(1, f"s{n}"))
            s(a, snapshot(2, 1, f"s{n}", c, mode, 0o027))
            s(a, snapshot(3, 1, f"f{n}", c, mode, 0o027))
            s(a, lookup(1, f"f{n}"))
            s(a, snapshot(3, 1, f"f{n}", c, mode, 0o027))
            s(a, snapshot(4, 1, f"g{n}", c, mode))
            n += 1
    s(a, readdir(1, flags=1))
    for p in range(2, 80):
        s(a, readdir(p, flags=1))
        s(a, getattr_(p))
    s(a, snapshot(0, 1, "x"))
    s(a, snapshot(99, 1, "x"))
    s(a, snapshot(2, 99, "x"))
    s(a, snapshot(2, 3, "x"))
    s(a, snapshot(2, 5, "x"))
    s(a, snapshot(2, 2, "x"))
    s(a, snapshot(2, 1, "src", mode=1))
    s(a, snapshot(2, 1, ""))
    s(a, snapshot(4, 1, "zz", U2))
    s(a, snapshot(2, 1, "f0", mode=1))
    s(a, snapshot(3, 5, "x", U2))
    s(RO, snapshot(2, 1, "x"))
    s(NONE, snapshot(2, 1, "x"))
    s(NONE, snapshot(0, 1, "s0", mode=0x80))
    s(a, snapshot(2, 1, "s0", mode=0x80))
    s(a, snapshot(0, 1, "src", mode=0x80))
    s(a, snapshot(0, 1, "nope", mode=0x80))
    s(a, snapshot(0, 1, "", mode=0x80))
    s(a, snapshot(0, 3, "x", mode=0x80))
    s(a, snapshot(0, 1, "s0", U2, 0x80))
    s(a, snapshot(0, 1, "s0", mode=0x80))
    s(a, lookup(1, "s0"))
    s(a, create(1, "keep"))
    s(a, lookup(1, "s1"))
    s(a, snapshot(0, 1, "src", mode=0x84))
    s(a, readdir(2, flags=1))
    s(OTHER, snapshot(2, 1, "masked", U1, 2, 0o100))
    s(a, lookup(1, "masked"))


@scenario
def appending(s):
    a = ADMIN
    big = 1 << 26
    for n in ("t", "src", "empty"):
        s(a, create(1, n))           # 2 3 4
    s(a, mkdir(1, "d"))              # 5
    s(a, truncate(3, 3 * big + 5))
    for client in (a, RO, NONE):
        s(client, append(2, 2))
        s(client, append(2, 99))
        s(client, append(99, 3))
        s(client, append(5, 3))
        s(client, append(2, 5))
        s(client, append(2, 4))
        s(client, append(2, 3, U2))
    for f, x, y in ((0, 0, 1), (0, 1, 3), (0, 3, 9), (0, 4, 9), (1, 1, 9), (2, 0, 1), (3, 2, 1), (3, 9, 0), (0, 2, 2), (0, 3, 1)):
        s(a, append(2, 3, R0, f, x, y))
        s(a, getattr_(2))
    s(OTHER, append(2, 3, R0, 0, 0, 1))


@scenario
def xattrs(s):
    a = ADMIN
    s(a, create(1, "f", 0o640, 0, U1))   # 2
    s(a, mkdir(1, "d", 0o755))           # 3
    for c in (R0, U1, U2, (2000, 100)):
        for n in ("user.a", "trusted.a", "security.a", "system.a", "odd", b"nul\0in", "u" * 255):
            for mode in (2, 1, 1, 0, 2, 4):
                s(a, setxattr(2, n, b"value%d" % mode, c, mode))
            s(a, getxattr(2, n, c))
            s(a, getxattr(2, n, c, 1))
            s(a, getxattr(2, n, c, 2))
            s(a, getxattr(2, n, c, 0, 1))
            s(a, setxattr(2, n, b"", c, 3))
            s(a, setxattr(2, n, b"", c, 3, 1))
            s(a, setxattr(2, n, b"o", c, 0, 1))
        s(a, getxattr(2, "", c))
        s(a, getxattr(2, "", c, 1))
        s(a, getxattr(2, "", c, 0, 1))
    s(a, getattr_(2))
    s(a, getxattr(99, "x"))
    s(a, getxattr(99, "x", mode=2))
    s(a, setxattr(99, "x", b"1"))
    s(RO, setxattr(2, "x", b"1"))
    s(NONE, setxattr(2, "x", b"1"))
    s(a, setxattr(3, "user.big", b"x" * 1000))
    s(a, getxattr(3, "user.big", mode=1))
    for i in range(20):
        s(a, setxattr(3, f"user.{i}", b""))
    s(a, getxattr(3, ""))
    for n in ("user.big", "user.5", "user.5"):
        s(a, setxattr(3, n, b"", mode=3))
    s(a, getxattr(3, ""))


@scenario
def locking(s):
    """flock and POSIX locks of three owners in two sessions."""
    a, b = ADMIN, OTHER
    s(a, create(1, "f"))             # 2
    for cmd in range(7):
        s(b, flock(2, 1, 10, cmd))
    s(b, open_(2, flags=3))
    # shared and exclusive, tries
    s(a, flock(2, 1, 10, 1))
    s(a, flock(2, 2, 10, 2))
    s(a, flock(2, 3, 11, 1))
    s(b, flock(2, 4, 10, 3))
    s(b, flock(2, 5, 10, 4))
    s(a, flock(2, 6, 12, 1))
    s(a, flock(2, 7, 12, 2))
    s(b, flock(2, 8, 10, 4))
    s(b, flock(2, 9, 10, 3))
    s(a, flock(2, 10, 10, 0))
    s(a, flock(2, 11, 11, 6))
    s(b, flock(2, 12, 11, 2))
    s(a, flock(2, 13, 12, 5))
    s(b, flock(2, 14, 10, 0))
    s(b, flock(2, 15, 11, 0))
    s(a, flock(2, 16, 12, 0))
    # interrupt and cancel
    s(a, flock(2, 20, 10, 4))
    s(b, flock(2, 21, 20, 2))
    s(b, flock(2, 22, 21, 2))
    s(b, flock(2, 23, 22, 4))
    s(b, flock(2, 21, 20, 5))
    s(b, flock(2, 22, 22, 5))
    s(b, flock(2, 99, 21, 6))
    s(a, flock(2, 24, 10, 0))
    s(b, flock(2, 25, 22, 0))
    # kinds of a waiting request change
    s(a, flock(2, 30, 10, 4))
    s(b, flock(2, 31, 20, 2))
    s(b, flock(2, 32, 20, 4))
    s(a, flock(2, 33, 10, 0))
    s(b, flock(2, 34, 20, 0))
    # closing
    s(a, flock(2, 40, 10, 4))
    s(b, flock(2, 41, 20, 4))
    s(b, flock(2, 42, 21, 2))
    s(a, opened(1))
    s(b, opened(1))
    s(a, open_(2, flags=3))
    s(b, open_(2, flags=3))
    # POSIX
    inf = 0xFFFFFFFFFFFFFFFF
    for req, (client, owner, cmd, kind, x, y) in enumerate((
        (a, 1, 2, 2, 0, 100), (a, 1, 0, 1, 0, 10), (b, 1, 0, 1, 0, 10), (b, 1, 0, 2, 90, inf), (b, 1, 0, 2, 100, inf),
        (b, 1, 2, 1, 0, 10), (b, 1, 2, 1, 100, 200), (a, 1, 2, 1, 50, 120), (a, 1, 2, 2, 50, 120), (a, 2, 0, 2, 0, inf),
        (a, 2, 2, 1, 60, 70), (a, 2, 1, 2, 0, 10), (b, 2, 1, 1, 5, 6), (b, 3, 1, 2, 110, 130),
        (a, 1, 1, 0, 0, 50), (a, 1, 2, 0, 0, inf), (b, 1, 1, 0, 100, 120), (b, 1, 1, 0, 100, inf),
        (a, 2, 1, 0, 0, inf), (b, 3, 1, 0, 0, inf), (b, 2, 1, 0, 0, inf), (b, 2, 1, 0, 0, inf),
        (a, 1, 1, 2, 0, inf), (b, 1, 1, 2, 0, 10), (b, 2, 1, 1, 0, 10), (b, 3, 1, 1, 20, 30))):
        s(client, plock(2, req, owner, 1000 + owner, cmd, kind, x, y))
    s(b, plock(2, 23, 1, 1, 3, 0, 0, 0))
    s(b, plock(2, 99, 1, 1, 3, 0, 0, 0))
    s(a, plock(2, 50, 1, 1001, 1, 1, 0, 5))
    s(a, plock(2, 51, 1, 1001, 1, 0, 0, inf))
    s(a, plock(99, 52, 1, 1001, 1, 1, 0, inf))
    s(a, plock(99, 53, 1, 1001, 1, 0, 0, inf))
    s(a, plock(99, 54, 1, 1001, 0, 2, 0, inf))
    s(b, opened(1))
    s(a, opened(1))


@scenario
def forbidden(s):
    """Disabled operations and read-only sessions."""
    a = ADMIN
    s(a, mkdir(1, "d", 0o777))       # 2
    s(a, create(2, "f"))             # 3
    for client in (NONE, RO):
        for request in (
            mkdir(2, "x"), mkdir(99, ""), mknod(2, "x", 1), mknod(2, "x", 3), mknod(2, "x", 4), mknod(2, "x", 5),
            mknod(2, "x", 7), mknod(2, "x", 9), symlink(2, "x", "y"), symlink(2, "x", ""), create(2, "x"), unlink(2, "f"),
            rmdir(1, "d"), rename(2, "f", 2, "g"), rename(2, "f", 1, "f"), link(3, 2, "g"), readdir(2), read(3), write(3),
            truncate(3, 5), truncate(3, 5, flags=3), truncate(3, 5, flags=0x0B), setattr_(3, R0, 2), setattr_(3, R0, 4),
            setattr_(3, R0, 1), append(3, 3), snapshot(2, 1, "s"), settrash(3, 0, 1), setgoal(3, 0, 2), seteattr(3, 0, 1),
            setxattr(3, "user.x", b"1"), setfacl(3, 0, 1, 7, 7, 7, 0xFFFF), open_(3, flags=8), open_(3, flags=2), access(3, R0, 2),
            access(3, R0, 4), lookup(2, "f"), amtime((3, 5, 5)),
        ):
            s(client, request)


@scenario
def lengths(s):
    """SETSCLASS with bytes missing and bytes behind what is needed."""
    s(ADMIN, mkdir(1, "d", 0o777))   # 2
    s(ADMIN, create(2, "f"))         # 3
    s(ADMIN, mknod(2, "p", 4))       # 4

    def resized(request, by):
        kind, payload = request
        return kind, payload + b"x" * by if by > 0 else payload[:by]

    for client in (ADMIN, RO, LIMITS, OLD, NONE):
        # One byte more for a class that is numbered: rights first, length before mode, object and user.
        for request in (
            setgoal(3, 0, 2), setgoal(3, 0, 2, 4), setgoal(3, 0, 2, 3), setgoal(3, 0, 9, 8), setgoal(99, 0, 2), setgoal(4, 0, 2),
            setgoal(3, 1000, 2), setgoal(3, 0, 9),
        ):
            s(client, resized(request, 1))
        s(client, resized(setgoal(3, 0, 1), 9))
        # Everything else may be longer.
        for request in (
            setgoal(3, 0, 0), setgoal(3, 0, 10, 8), setgoal(99, 0, 254), setclass(3, 0, "2"), setclass(3, 0, "no", 8),
            setclass(99, 0, "2"), setclass(3, 0, "3", 3, "2"), setclass(3, 0, "no", 7, "2"),
        ):
            s(client, resized(request, 1))
        # Nothing may be shorter.
        for request in (
            setgoal(3, 0, 2), setgoal(3, 0, 10), setclass(3, 0, "2"), setclass(3, 0, "no"), setclass(3, 0, "2", 3, "2"),
            setclass(3, 0, "2", 3, "no"), setclass(3, 0, "", 3, "no"),
        ):
            s(client, resized(request, -1))
        s(client, (448, m()))
        s(client, setgoal(3, 0, 3))
