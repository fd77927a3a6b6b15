#!/usr/bin/env bash
# Reading another process's untouched memory with process_vm_readv leaves its RSS alone and grows its page tables.
#
# Seen with Linux 6.18. A process maps 256 MiB of anonymous memory and touches none of it. A reader asks for all of it:
# it gets zeros, and VmRSS, Rss and Anonymous of the target stay as they were. VmPTE grows by half a mebibyte, two
# bytes for each kilobyte that was read, and stays so until the mapping goes. With the target's huge pages on
# (MADV_HUGEPAGE) it is the same.
#
# Why: a read fault on anonymous memory maps the shared zero page, which is counted nowhere, but the page table that
# holds the entry is the target's (mm/memory.c, do_anonymous_page). A reader that walks a large reservation page by
# page, as a heap walker of a Go process can (the arena's bitmap and metadata are hundreds of megabytes that were never
# touched), so charges the target's memory cgroup; it should ask /proc/PID/pagemap first.
#
# It needs python3 and root (or a parent's right to read its child) and takes a second.
set -euo pipefail

python3 - <<'PYTHON'
import ctypes, mmap, os, re, signal, sys

MIB = 1 << 20
SIZE = 256 * MIB


class IoVec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


def sizes(pid):
    text = open(f"/proc/{pid}/status").read()
    return {key: int(re.search(rf"{key}:\s+(\d+)", text)[1]) for key in ("VmRSS", "VmPTE")}


read_end, write_end = os.pipe()
pid = os.fork()
if pid == 0:
    space = mmap.mmap(-1, SIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    address = ctypes.addressof(ctypes.c_char.from_buffer(space))
    os.write(write_end, str(address).encode())
    signal.pause()
try:
    address = int(os.read(read_end, 64))
    before = sizes(pid)
    library = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(MIB)
    done = 0
    while done < SIZE:
        local = IoVec(ctypes.addressof(buffer), MIB)
        remote = IoVec(address + done, MIB)
        count = library.process_vm_readv(pid, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0)
        if count <= 0:
            sys.exit(f"process_vm_readv: {os.strerror(ctypes.get_errno())}")
        done += count
    after = sizes(pid)
finally:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
print(f"Linux {os.uname().release}: {SIZE // MIB} MiB read")
for key in before:
    print(f"  {key} of the target: {before[key]} kB before, {after[key]} kB after")
if after["VmPTE"] - before["VmPTE"] < 400 or after["VmRSS"] - before["VmRSS"] > 400:
    sys.exit("It is no longer as described.")
PYTHON
