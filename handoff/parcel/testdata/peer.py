"""A peer for parcels and HANDOFF_SOCKET, written from the text of doc.go alone.

    peer.py read FD           print what is in a parcel, one JSON object a line
    peer.py write FD          write a parcel; entries come as JSON lines on stdin
    peer.py generation        take deliveries and orders from $HANDOFF_SOCKET
                              until OWNED
    peer.py manager FD NAME   deliver a pipe under NAME, then OWNED; await TAKEN;
                              then RELEASE and RESUME
"""

import array
import fcntl
import json
import mmap
import os
import socket
import struct
import sys

HEADER = struct.Struct("<8sHHBBHIIQQQQQ")
ENTRY = struct.Struct("<IHHHHIQ")
MAGIC = b"HFPARCEL"
DATA, END = 1, 2
MEMFD, SECRET = 1, 1
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def seqpacket(fd):
    return socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, fileno=fd)


def receive(s):
    """Return a message and its descriptors; an empty message is the end."""
    m, control, flags, _ = s.recvmsg(65536, socket.CMSG_SPACE(253 * 4), socket.MSG_CMSG_CLOEXEC)
    assert not flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC), flags
    fds = array.array("i")
    for level, kind, data in control:
        assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
        fds.frombytes(data)
    return m, list(fds)


def send(s, m, fds):
    control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    assert s.sendmsg([m], control) == len(m)


def body_of(fd, length):
    assert fcntl.fcntl(fd, fcntl.F_GET_SEALS) & SEALS == SEALS
    assert os.fstat(fd).st_size == length
    with mmap.mmap(fd, length, mmap.MAP_PRIVATE, mmap.PROT_READ) as m:
        return m[:]


def read(s):
    entries = descriptors = size = 0
    wanted = None
    while True:
        m, fds = receive(s)
        if not m:
            return {"end": "truncated"}
        (magic, major, _, kind, flags, ndesc, head, count, length,
         seq, *before) = HEADER.unpack_from(m)
        assert magic == MAGIC and major == 1 and not flags & ~MEMFD and head >= HEADER.size
        assert ndesc == len(fds), (ndesc, len(fds))
        assert wanted is None or seq == wanted, (seq, wanted)
        assert before == [entries, descriptors, size], before
        wanted = seq + 1
        if kind == END:
            return {"end": "complete", "entries": entries, "descriptors": descriptors, "bytes": size}
        assert kind == DATA and count
        body = m[head:]
        if flags & MEMFD:
            assert not body
            memfd = fds.pop(0)
            body = body_of(memfd, length)
            os.close(memfd)
        assert len(body) == length
        for _ in range(count):
            e, k, n, d, eflags, _, p = ENTRY.unpack_from(body)
            assert e >= ENTRY.size + k + n and not eflags & ~SECRET
            text = body[ENTRY.size:]
            for fd in fds[:d]:  # says through each descriptor that it came
                os.write(fd, text[k:k + n])
                os.close(fd)
            print(json.dumps({
                "kind": text[:k].decode(), "name": text[k:k + n].decode(),
                "payload": body[e:e + p].hex(), "descriptors": d, "secret": bool(eflags),
            }), flush=True)
            fds, body = fds[d:], body[e + p:]
            entries, descriptors, size = entries + 1, descriptors + d, size + p
        assert not fds and not body


def write(s, lines):
    seq, totals = 1, [0, 0, 0]
    for line in lines:
        if line.strip() == "CRASH":
            os.kill(os.getpid(), 9)
        batch = json.loads(line)  # a message a line
        body, fds = b"", []
        for e in batch["entries"]:
            kind, name, payload = e["kind"].encode(), e["name"].encode(), bytes.fromhex(e["payload"])
            extra = b"a later version's" if e.get("extra") else b""
            body += ENTRY.pack(ENTRY.size + len(kind) + len(name) + len(extra), len(kind), len(name),
                               e["descriptors"], SECRET if e["secret"] else 0, 0, len(payload))
            body += kind + name + extra + payload
            fds += [1] * e["descriptors"]  # its own standard output
        flags, inline, memfd = 0, body, -1
        if batch["memfd"]:
            memfd = os.memfd_create("body", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            assert os.write(memfd, body) == len(body)
            fcntl.fcntl(memfd, fcntl.F_ADD_SEALS, SEALS)
            flags, inline, fds = MEMFD, b"", [memfd] + fds
        extra = b"more header" if batch.get("extra") else b""
        head = HEADER.pack(MAGIC, 1, 3 if extra else 0, DATA, flags, len(fds), HEADER.size + len(extra),
                           len(batch["entries"]), len(body), seq, *totals)
        send(s, head + extra + inline, fds)
        if memfd >= 0:
            os.close(memfd)
        seq += 1
        totals[0] += len(batch["entries"])
        totals[1] += sum(e["descriptors"] for e in batch["entries"])
        totals[2] += sum(len(e["payload"]) // 2 for e in batch["entries"])
    send(s, HEADER.pack(MAGIC, 1, 0, END, 0, 0, HEADER.size, 0, 0, seq, *totals), [])


def fields(m):
    pairs = [line.split("=", 1) for line in m.decode().split("\n")]
    assert pairs[0] == ["HANDOFF", "1"], pairs
    return dict(reversed(pairs))


def generation():
    s = seqpacket(int(os.environ.pop("HANDOFF_SOCKET")))
    s.set_inheritable(False)
    while True:
        m, fds = receive(s)
        if not m:
            return {"end": "manager gone"}
        f = fields(m)
        if "OWNED" in f:
            return {"end": "owned"}
        for order, done in ("RELEASE", b"RELEASED"), ("RESUME", b"RESUMED"):
            if order in f:
                print(json.dumps({"end": order.lower()}), flush=True)
                send(s, b"HANDOFF=1\n" + done + b"=" + f[order].encode(), [])
        if "ID" not in f:
            continue
        for fd in fds:
            os.write(fd, f["FDNAME"].encode())
            os.close(fd)
        send(s, b"HANDOFF=1\nTAKEN=" + f["ID"].encode(), [])


def manager(s, name):
    r, w = os.pipe()
    send(s, b"HANDOFF=1\nLATER=x\nID=5\nFDNAME=" + name.encode() + b"\nFDNAME=second", [w])
    os.close(w)
    send(s, b"HANDOFF=1\nUNKNOWN=message", [r])
    send(s, b"HANDOFF=1\nOWNED=1", [])
    assert fields(receive(s)[0])["TAKEN"] == "5"
    for order, done in (b"RELEASE", "RELEASED"), (b"RESUME", "RESUMED"):
        send(s, b"HANDOFF=1\n" + order + b"=9", [])
        assert fields(receive(s)[0])[done] == "9"
    return {"end": os.read(r, 100).decode()}


def main(command, *args):
    if command == "read":
        return read(seqpacket(int(args[0])))
    if command == "write":
        return write(seqpacket(int(args[0])), sys.stdin)
    if command == "generation":
        return generation()
    return manager(seqpacket(int(args[0])), args[1])


if __name__ == "__main__":
    result = main(*sys.argv[1:])
    if result:
        print(json.dumps(result), flush=True)
