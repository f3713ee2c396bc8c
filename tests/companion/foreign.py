"""Calls functions of libvirt's that this library does not have with this library's handles, and with NULL.

usage: foreign.py LIBRARY LIBVIRT URI, the names of the functions on standard input

Each call is made in a child, as a wrong answer may be the end of it. Prints what went wrong.
"""

import ctypes
import os
import signal
import sys

DOMAIN = (b"<domain type='qemu'><name>guest</name><memory>1024</memory><os><type>hvm</type></os>"
          b"</domain>")
REDEFINE = 1
HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
SILENT = HANDLER(lambda _, __: None)
SECONDS = 10
# No function has more.
ARGUMENTS = 10


def handles(library, uri):
    """A connection, a domain, a snapshot."""
    for name in ("virConnectOpen", "virDomainDefineXML", "virDomainGetXMLDesc",
                 "virDomainSnapshotCreateXML"):
        getattr(library, name).restype = ctypes.c_void_p
    connection = ctypes.c_void_p(library.virConnectOpen(uri.encode()))
    domain = ctypes.c_void_p(library.virDomainDefineXML(connection, DOMAIN))
    definition = ctypes.string_at(library.virDomainGetXMLDesc(domain, ctypes.c_uint(1)))
    snapshot = ctypes.c_void_p(library.virDomainSnapshotCreateXML(
        domain, b"<domainsnapshot><name>s</name><state>shutoff</state><creationTime>1</creationTime>"
        + definition + b"</domainsnapshot>", ctypes.c_uint(REDEFINE)))
    found = {"connection": connection, "domain": domain, "snapshot": snapshot}
    assert all(handle.value for handle in found.values()), found
    return found


def refused(libvirt, name, handle):
    """Whether the call leaves an error."""
    libvirt.virResetLastError()
    getattr(libvirt, name)(handle, *[ctypes.c_void_p(None)] * (ARGUMENTS - 1))
    return libvirt.virGetLastErrorCode() != 0


def in_child(libvirt, name, handle):
    """What is wrong with the call, or nothing."""
    child = os.fork()
    if child == 0:
        signal.alarm(SECONDS)
        os._exit(0 if refused(libvirt, name, handle) else 1)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return f"ends with signal {os.WTERMSIG(status)}"
    return "" if os.WEXITSTATUS(status) == 0 else "no error"


def main(path, libvirt_path, uri):
    libvirt = ctypes.CDLL(libvirt_path)
    library = ctypes.CDLL(path)
    library.virSetErrorFunc(None, SILENT)
    ours = handles(library, uri)
    for name in sys.stdin.read().split():
        for kind, handle in {**ours, "nothing": ctypes.c_void_p(None)}.items():
            fault = in_child(libvirt, name, handle)
            if fault:
                print(f"{name}({kind}): {fault}")


if __name__ == "__main__":
    main(*sys.argv[1:])
