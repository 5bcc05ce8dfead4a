"""A process that writes to the file named by the first argument without a pause, until its input ends.

It writes its number of rounds so far, repeated, to one place, and 64 KiB to places behind it, so that the mount always
has something to send. Then it writes the next number, waits until that is safe, and prints it.
"""

import os
import sys
import threading

PLACE = 1000
REPEATED = 100
OTHERS = 64 << 10

file = os.open(sys.argv[1], os.O_RDWR)
number = 0
done = threading.Event()


def put():
    global number
    number += 1
    os.pwrite(file, b"%08d" % number * REPEATED, PLACE)


def write():
    data = os.urandom(OTHERS)
    while not done.is_set():
        put()
        os.pwrite(file, data, OTHERS * (1 + number % 10))
        # The mount keeps everything that it could not send.
        done.wait(0.002)


writer = threading.Thread(target=write)
writer.start()
sys.stdin.read()
done.set()
writer.join()
put()
os.fsync(file)
print(number)
