"""A process that locks the file named by the first argument, as it is told on standard input.

Each line is a command; each gets one line of answer, when it is done:

    open | close                     another descriptor; the latest one is used and closed first
    flock sh|ex|un [nb]              whole-file locks
    posix r|w|u START LENGTH [nb]    record locks; LENGTH 0 is to the end of the file
    test r|w START LENGTH            which lock stands in the way

The answer is "ok", the name of an error, or what "test" found. SIGUSR1 interrupts what waits: EINTR.
"""

import errno
import fcntl
import os
import signal
import struct
import sys


class Interrupted(Exception):
    pass


def interrupt(_signal, _frame):
    raise Interrupted


signal.signal(signal.SIGUSR1, interrupt)
TYPES = {"r": fcntl.F_RDLCK, "w": fcntl.F_WRLCK, "u": fcntl.F_UNLCK}
NAMES = {number: letter for letter, number in TYPES.items()}
LAYOUT = "hhqqi4x"
descriptors = []


def record(letter, start, length):
    return struct.pack(LAYOUT, TYPES[letter], os.SEEK_SET, int(start), int(length), 0)


def answer(words):
    command, rest = words[0], words[1:]
    if command == "open":
        descriptors.append(os.open(sys.argv[1], os.O_RDWR))
    elif command == "close":
        os.close(descriptors.pop())
    elif command == "flock":
        kind = {"sh": fcntl.LOCK_SH, "ex": fcntl.LOCK_EX, "un": fcntl.LOCK_UN}[rest[0]]
        fcntl.flock(descriptors[-1], kind | (fcntl.LOCK_NB if "nb" in rest else 0))
    elif command == "posix":
        how = fcntl.F_SETLK if "nb" in rest else fcntl.F_SETLKW
        fcntl.fcntl(descriptors[-1], how, record(*rest[:3]))
    elif command == "test":
        found = fcntl.fcntl(descriptors[-1], fcntl.F_GETLK, record(*rest))
        kind, _, start, length, _ = struct.unpack(LAYOUT, found)
        return f"{NAMES[kind]} {start} {length}" if kind != fcntl.F_UNLCK else "free"
    else:
        return "what?"
    return "ok"


for line in sys.stdin:
    try:
        said = answer(line.split())
    except Interrupted:
        said = "EINTR"
    except OSError as error:
        said = errno.errorcode[error.errno]
    print(said, flush=True)
