"""A pre-fork server on descriptor 3 that answers a byte with itself.

As in Perl's Net::Server a worker ends at once on SIGHUP if it takes itself for idle,
which it does for some time after accept(2).
"""
import os
import signal
import socket
import sys
import time

busy = told = False


def hang_up(*_):
    global told
    if not busy:
        os._exit(0)
    told = True


def work(listener):
    global busy
    while not told:
        connection, _ = listener.accept()
        time.sleep(0.01)
        busy = True
        with connection:
            connection.sendall(connection.recv(1))
        busy = False


def quit(*_):
    for pid in workers:
        try:
            os.kill(pid, signal.SIGHUP)
        except ProcessLookupError:
            pass


listener = socket.socket(fileno=3)
signal.signal(signal.SIGHUP, hang_up)
workers = []
for _ in range(int(sys.argv[1])):
    pid = os.fork()
    if pid == 0:
        work(listener)
        os._exit(0)
    workers.append(pid)
signal.signal(signal.SIGQUIT, quit)
print("ready", flush=True)
for pid in workers:
    os.waitpid(pid, 0)
