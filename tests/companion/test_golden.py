"""virsh sessions whose output the real libvirt has recorded (tests/golden)."""

import glob
import os
import re
import subprocess
import unittest

from world import PRELOAD, World, qemu_img

GOLDEN = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "golden")
STRANGER = "00000000-1111-2222-3333-444444444444"
RECORDING = os.environ.get("UPDATE_GOLDEN") == "1"


def read(*parts):
    with open(os.path.join(GOLDEN, *parts), encoding="utf-8") as file:
        return file.read()


def masked(text, root):
    """Without times and names made of them, and without where the test stands."""
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+0000", "TIME", text)
    # This year's, not those that a document gives.
    text = re.sub(r"\b1[6-9]\d{8}\b", "SECONDS", text)
    return text.replace(root, "ROOT")


class Golden(World):
    maxDiff = None

    def session(self, name):
        """Its worlds, its commands."""
        first, *lines = read(f"{name}.session").splitlines()
        self.assertTrue(first.startswith("# worlds: "), first)
        return first.split()[2:], [line for line in lines if line and not line.startswith("#")]

    def world(self, kind):
        """A URI with the domain of the session, and its files."""
        if kind == "test":
            domain, _ = self.virsh("test:///default", "dumpxml test --inactive", preload=False)
        else:
            domain = read("guest.xml").replace("ROOT", self.root)
        self.write_documents(domain.strip())
        if kind == "test":
            return "test:///default"
        uri = f"virsnap://{self.path('own')}?redefine_check=trust" if kind == "virsnap" else self.embedded("libvirt")
        for disk in ("vda", "vdb"):
            qemu_img("create", "-q", "-f", "qcow2", self.path(f"guest-{disk}.qcow2"), "4M")
        file = self.write("guest.xml", domain)
        self.virsh(uri, f"define {file}", preload=kind == "virsnap")
        return uri

    def write_documents(self, domain):
        """Those of the sessions, with this domain inside, or with another one."""
        domain = "\n".join("  " + line for line in domain.splitlines())
        stranger = re.sub("<uuid>.*</uuid>", f"<uuid>{STRANGER}</uuid>", domain)
        for document in os.listdir(os.path.join(GOLDEN, "documents")):
            text = read("documents", document)
            self.write(document, text.replace("DOMAIN", domain).replace("STRANGER", stranger))

    def transcript(self, uri, commands, preload):
        """Each command, and what virsh says to it, in one process."""
        # libvirt does not look at the data of what is redefined.
        environment = {**self.environment, "VIRSNAP_REDEFINE_CHECK": "trust",
                       "EDITOR": "sed -i 's/first of all/edited/;s/of a file/edited/'"}
        if preload:
            environment["LD_PRELOAD"] = PRELOAD
        script = []
        for command in commands:
            script.append("echo '$ {}'".format(command.replace("'", "").replace('"', "")))
            script.append(command.replace("ROOT", self.root))
        done = subprocess.run(
            ["virsh", "-c", uri, "; ".join(script)], stdin=subprocess.DEVNULL, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, timeout=300,
        )
        self.assertGreaterEqual(done.returncode, 0, f"virsh died: {done.stdout}")
        # What the embedded driver logs is about the host.
        lines = [line for line in done.stdout.splitlines()
                 if not re.match(r"\d{4}-\d\d-\d\d \S+: \d+: (info|warning|error) :", line)]
        # virsh edits a file of its own, with a name of chance.
        text = re.sub(r"/tmp/virsh\w+\.xml", "EDITED", "\n".join(lines))
        return masked(text, self.root) + "\n"

    def replay(self, name, kind, preload):
        worlds, commands = self.session(name)
        if kind not in worlds:
            return
        said = self.transcript(self.world(kind), commands, preload)
        if RECORDING:
            with open(os.path.join(GOLDEN, f"{name}.expected"), "w", encoding="utf-8") as file:
                file.write(said)
        else:
            self.assertEqual(read(f"{name}.expected"), said)


def add_tests():
    """A test for each session and each way to replay it."""
    ways = {"libvirt": [("test", False), ("qemu", False)]}
    if not RECORDING:
        ways["in_front_of_libvirt"] = [("test", True), ("qemu", True)]
        ways["on_a_connection_of_its_own"] = [("virsnap", True)]

    def test(name, kinds):
        def body(self):
            for kind, preload in kinds:
                self.replay(name, kind, preload)
        return body

    for path in sorted(glob.glob(os.path.join(GOLDEN, "*.session"))):
        name = os.path.basename(path).removesuffix(".session")
        worlds = read(f"{name}.session").splitlines()[0].split()[2:]
        for way, kinds in ways.items():
            kinds = [kind for kind in kinds if kind[0] in worlds]
            if kinds:
                setattr(Golden, f"test_{name}_{way}".replace("-", "_"), test(name, kinds))


add_tests()

if __name__ == "__main__":
    unittest.main(verbosity=2)
