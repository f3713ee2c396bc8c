"""docs/compatibility.md is what is measured: the 21 functions × flags, in libvirt and here."""

import json
import os
import subprocess
import sys
import unittest

import calls
from world import PRELOAD, World

HERE = os.path.dirname(os.path.abspath(__file__))
PAGE = os.path.join(HERE, "..", "..", "docs", "compatibility.md")
BEGIN, END = "<!-- measured -->\n", "<!-- end of what is measured -->\n"
COLUMNS = ["libvirt: test", "libvirt: QEMU", "virsnap: embedded", "companion: test", "companion: QEMU"]


def table(answers):
    """Markdown, a section for each function."""
    text = ""
    for function, rows in calls.FLAGS.items():
        text += f"\n### {function}\n\n| flags | {' | '.join(COLUMNS)} |\n"
        text += "| --- |" + " --- |" * len(COLUMNS) + "\n"
        for word in rows:
            cells = [answers[column][f"{function} {word}"] for column in COLUMNS]
            text += f"| {word} | {' | '.join(cells)} |\n"
    return text + "\n"


class Compatibility(World):
    maxDiff = None

    def measured(self, library, uri):
        directory = self.path(f"images-{len(os.listdir(self.root))}")
        os.mkdir(directory)
        done = subprocess.run(
            [sys.executable, os.path.join(HERE, "calls.py"), library, uri, directory],
            stdin=subprocess.DEVNULL, check=False, capture_output=True, text=True,
            env=self.environment, timeout=300,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def test_the_page_is_what_is_measured(self):
        answers = {
            "libvirt: test": self.measured("libvirt.so.0", "test:///default"),
            "libvirt: QEMU": self.measured("libvirt.so.0", self.embedded("theirs")),
            "virsnap: embedded": self.measured(PRELOAD, f"virsnap://{self.path('own')}"),
            "companion: test": self.measured(PRELOAD, "test:///default"),
            "companion: QEMU": self.measured(PRELOAD, self.embedded("ours")),
        }
        with open(PAGE, encoding="utf-8") as file:
            page = file.read()
        head, _, rest = page.partition(BEGIN)
        written, _, tail = rest.partition(END)
        now = table(answers)
        if os.environ.get("UPDATE_COMPATIBILITY") == "1":
            with open(PAGE, "w", encoding="utf-8") as file:
                file.write(head + BEGIN + now + END + tail)
        else:
            self.assertEqual(written, now, "UPDATE_COMPATIBILITY=1 writes the page anew")


if __name__ == "__main__":
    unittest.main(verbosity=2)
