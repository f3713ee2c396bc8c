"""Perl's and Ruby's bindings: as Python's, each loads libvirt into a scope of its own."""

import os
import shutil
import subprocess
import unittest

from world import PRELOAD, UUID, World

PERL = """
use Sys::Virt;
use Sys::Virt::Event;
Sys::Virt::Event::register_default();
my $c = Sys::Virt->new(uri => $ARGV[0]);
my $d = $c->get_domain_by_name($ARGV[1]);
sub xml { return "<domainsnapshot><name>$_[0]</name></domainsnapshot>" }
my $s = $d->create_snapshot(xml("r"));
my $t = $d->create_snapshot(xml("c"));
print join(",", sort map { $_->get_name } $d->list_all_snapshots), " ",
    $d->current_snapshot->get_name, " ", $t->get_parent->get_name, "\\n";
eval { $d->get_snapshot_by_name("nope") };
print $@->code, " ", $@->domain, " ", $@->message, "\\n";
$s->revert_to;
print $d->current_snapshot->get_name, "\\n";
$t->delete;
print $d->num_of_snapshots, "\\n";
eval { $d->create_snapshot(xml("a/b")) };
print $@->code, "\\n";
"""

RUBY = """
require 'libvirt'
c = Libvirt::open(ARGV[0])
d = c.lookup_domain_by_name(ARGV[1])
xml = ->(name) { "<domainsnapshot><name>#{name}</name></domainsnapshot>" }
s = d.snapshot_create_xml(xml.call("r"))
t = d.snapshot_create_xml(xml.call("c"))
puts [d.list_all_snapshots.map(&:name).sort.join(","), d.current_snapshot.name, t.parent.name].join(" ")
begin
  d.lookup_snapshot_by_name("nope")
rescue Libvirt::RetrieveError => e
  puts [e.libvirt_code, e.libvirt_component, e.libvirt_message].join(" ")
end
d.revert_to_snapshot(s)
puts d.current_snapshot.name
t.delete
puts d.num_of_snapshots
begin
  d.snapshot_create_xml(xml.call("a/b"))
rescue Libvirt::Error => e
  puts e.libvirt_code
end
"""

MISSING = "Domain snapshot not found: no domain snapshot with matching name 'nope'"


class Interpreters(World):
    def check(self, command, probe, uri="test:///default", name="test", driver=12):
        if not shutil.which(command[0]) or subprocess.run(
                probe, check=False, capture_output=True).returncode:
            self.skipTest(f"{command[0]} or its bindings are not installed")
        done = subprocess.run(
            [*command, uri, name], stdin=subprocess.DEVNULL, check=False, capture_output=True,
            text=True, timeout=120, env={**self.environment, "LD_PRELOAD": PRELOAD},
        )
        # The last line shows who answers: libvirt's test driver takes a name with a slash.
        self.assertEqual(done.stdout, f"c,r c r\n72 {driver} {MISSING}\nr\n1\n35\n", done.stderr)

    def test_perl(self):
        program = ["perl", self.write("program.pl", PERL)]
        probe = ["perl", "-MSys::Virt", "-e1"]
        self.check(program, probe)
        uri = self.embedded("libvirt")
        self.virsh(uri, f"define {self.domain_file('libvirt')}", preload=False)
        self.check(program, probe, uri, "guest", 10)
        self.assertEqual(os.listdir(os.path.join(self.state, "snapshot", UUID)), ["r.xml"])
        kept, _ = self.virsh(uri, "snapshot-list guest --name", preload=False)
        self.assertEqual(kept.strip(), "")

    # Its embedded QEMU driver wants an event loop, which is a program of its own in Ruby.
    def test_ruby(self):
        self.check(["ruby", self.write("program.rb", RUBY)], ["ruby", "-rlibvirt", "-e1"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
