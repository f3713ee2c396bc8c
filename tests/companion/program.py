"""The program that test_python.py runs: every snapshot call of the bindings, and their errors.

usage: program.py URI DOMAIN
"""

import gc
import sys

import libvirt

XML = "<domainsnapshot><name>{}</name><description>d</description></domainsnapshot>"

told = []


def expect(code, domain, call, *arguments):
    """The call fails, with this error, and the handler is told once."""
    del told[:]
    try:
        call(*arguments)
    except libvirt.libvirtError as error:
        got = (error.get_error_code(), error.get_error_domain())
        assert got == (code, domain), (got, (code, domain), str(error))
        assert len(told) == 1 and told[0][0] == code, (told, str(error))
    else:
        raise AssertionError(f"{call} did not fail")


def names(snapshots):
    return sorted(snapshot.getName() for snapshot in snapshots)


def main(uri, name):
    libvirt.registerErrorHandler(lambda _, error: told.append(error), None)
    libvirt.virEventRegisterDefaultImpl()
    conn = libvirt.open(uri)
    driver = libvirt.VIR_FROM_TEST if conn.getType() == "TEST" else libvirt.VIR_FROM_QEMU
    dom = conn.lookupByName(name)

    assert dom.snapshotNum() == 0 and not dom.hasCurrentSnapshot()
    expect(72, driver, dom.snapshotCurrent)
    root = dom.snapshotCreateXML(XML.format("r"), 0)
    child = dom.snapshotCreateXML(XML.format("c"), 0)
    assert dom.snapshotNum() == 2
    assert sorted(dom.snapshotListNames()) == ["c", "r"]
    assert names(dom.listAllSnapshots()) == ["c", "r"]
    assert root.numChildren() == 1 and root.listChildrenNames() == ["c"]
    assert names(root.listAllChildren()) == ["c"]
    assert child.getParent().getName() == "r"
    assert child.isCurrent() == 1 and root.isCurrent() == 0 and root.hasMetadata() == 1
    assert dom.snapshotCurrent().getName() == "c"
    assert dom.snapshotLookupByName("r").getXMLDesc() == root.getXMLDesc()
    assert "<description>d</description>" in root.getXMLDesc(libvirt.VIR_DOMAIN_XML_SECURE)
    assert child.getDomain() is dom and child.getConnect() is conn
    assert dom.snapshotNum(libvirt.VIR_DOMAIN_SNAPSHOT_LIST_ROOTS) == 1

    expect(72, driver, dom.snapshotLookupByName, "nope")
    expect(72, driver, root.getParent)
    expect(9, libvirt.VIR_FROM_DOMAIN, dom.snapshotCreateXML, XML.format("r"), 0)
    expect(35, libvirt.VIR_FROM_DOMAIN_SNAPSHOT, dom.snapshotCreateXML, "<domainsnapshot>", 0)
    expect(8, libvirt.VIR_FROM_DOMAIN_SNAPSHOT, dom.snapshotCreateXML, XML.format("x"), 2)
    expect(8, driver, dom.snapshotNum, 0x10000)
    expect(8, libvirt.VIR_FROM_DOMAIN_SNAPSHOT, root.delete, 1 | 4)
    assert libvirt.virGetLastError() is not None
    assert dom.snapshotNum() == 2
    assert libvirt.virGetLastError() is None, "a success leaves no error"

    document = child.getXMLDesc(libvirt.VIR_DOMAIN_XML_SECURE)
    child.delete()
    expect(72, driver, child.isCurrent)
    redefined = dom.snapshotCreateXML(
        document.replace("<description>d<", "<description>e<"),
        libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT)
    assert redefined.isCurrent() == 1 and "<description>e<" in child.getXMLDesc()
    del told[:]
    if uri.startswith("test:"):
        dom.revertToSnapshot(root)
    else:
        # As libvirt's: the error of a program that works on images is of no part of libvirt.
        expect(1, libvirt.VIR_FROM_NONE, dom.revertToSnapshot, redefined)
        dom.revertToSnapshot(root)
    assert root.isCurrent() == 1
    if not uri.startswith("virsnap:"):
        # Of libvirt's other functions our handles get an error; its own work as ever.
        assert dom.info() and conn.getCapabilities()
    else:
        expect(7, libvirt.VIR_FROM_DOM, dom.suspend)
        expect(6, libvirt.VIR_FROM_DOMAIN, conn.getCapabilities)

    del told[:]
    # A snapshot keeps domain and connection.
    del dom, conn, child, redefined
    gc.collect()
    assert root.getName() == "r" and root.getDomain().name() == name
    root.delete(libvirt.VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN)
    del root
    gc.collect()
    assert not told, told

    readonly = libvirt.openReadOnly(uri)
    dom = readonly.lookupByName(name)
    if not uri.startswith("virsnap:"):
        assert dom.snapshotNum() == 0
    expect(29, libvirt.VIR_FROM_DOMAIN_SNAPSHOT, dom.snapshotCreateXML, XML.format("x"), 0)
    print("everything holds")


if __name__ == "__main__":
    main(*sys.argv[1:])
