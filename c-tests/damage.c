/* State that something else has damaged: all that is sound works, nothing is lost, and what is wrong
 * can be asked for and mended. The rows are those of libvirt's defects D20, D33, D36 and D37. */
#include "damaged.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void d33_one_bad_file_hides_nothing_else(void **state)
{
    struct fixture *fixture = *state;
    static const char *const contents[] = {"", "<domainsnapshot>", "garbage\n", "<domain/>"};
    virDomainPtr domain;
    virDomainSnapshotPtr snapshot;

    furnish(fixture);
    for (size_t i = 0; i < sizeof(contents) / sizeof(contents[0]); i++) {
        char *kept;

        put(fixture, "s4.xml", contents[i]);
        domain = open_guest(fixture);
        assert_tree(domain, "s1 s2<s1 *s3<s2");
        assert_problems(domain, "1 s4 s4.xml\n");

        /* Nothing may be written over it, and it does not count as none. */
        assert_null(virDomainSnapshotCreateXML(
            domain, "<domainsnapshot><name>s4</name></domainsnapshot>", 0));
        assert_refused("s4.xml");
        assert_int_equal(virDomainUndefineFlags(domain, VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA), -1);
        assert_refused("s4.xml");

        /* Another branch goes on. */
        snapshot = snapshot_create(domain, "s5", 0);
        assert_tree(domain, "s1 s2<s1 s3<s2 *s5<s3");
        assert_int_equal(virDomainSnapshotDelete(snapshot, 0), 0);
        virDomainSnapshotFree(snapshot);
        assert_tree(domain, "s1 s2<s1 *s3<s2");
        if (contents[i][0]) {
            kept = read_document(fixture, "s4.xml");
            assert_string_equal(kept, contents[i]);
            free(kept);
        }
        close_guest(fixture, domain);
    }
}

static void d33_while_the_current_one_cannot_be_read_no_new_root_is_made(void **state)
{
    struct fixture *fixture = *state;
    virDomainPtr domain;
    char *whole;

    furnish(fixture);
    whole = read_document(fixture, "s3.xml");
    put(fixture, "s3.xml", "<");
    domain = open_guest(fixture);
    assert_tree(domain, "s1 s2<s1 s4<s2");
    assert_null(virDomainSnapshotCreateXML(domain, "<domainsnapshot/>", 0));
    assert_refused("s3.xml");

    /* A passing fault passes: the next writer reads it again. */
    put(fixture, "s3.xml", whole);
    virDomainSnapshotFree(snapshot_create(domain, "s5", 0));
    assert_tree(domain, "s1 s2<s1 s3<s2 s4<s2 *s5<s3");
    assert_problems(domain, "");
    free(whole);
    virDomainFree(domain);
}

static void d37_what_is_no_document_is_named_and_does_not_block(void **state)
{
    struct fixture *fixture = *state;
    virDomainPtr domain;
    char *fifo;
    char *link;
    char *whole;

    furnish(fixture);
    whole = read_document(fixture, "s4.xml");
    put(fixture, "copy.xml", whole);  /* D37: the name inside is another */
    put(fixture, "s4.xml~", whole);
    fifo = document_path(fixture, "fifo.xml");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    link = document_path(fixture, "link.xml");
    assert_int_equal(symlink("/dev/zero", link), 0);
    domain = open_guest(fixture);
    assert_tree(domain, "s1 s2<s1 *s3<s2 s4<s2");
    assert_problems(domain, "1 fifo fifo.xml\n1 link link.xml\n1 s4.xml~ s4.xml~\n1 copy copy.xml\n");
    free(whole);
    free(fifo);
    free(link);
    virDomainFree(domain);
}

static void d20_d36_a_foreign_domain_and_a_path_are_refused(void **state)
{
    struct fixture *fixture = *state;
    virDomainPtr domain;

    furnish(fixture);
    put(fixture, "out.xml",
        "<domainsnapshot><name>../../out</name><state>shutoff</state><creationTime>1</creationTime>"
        "<active>0</active></domainsnapshot>");
    put(fixture, "s9.xml",
        "<domainsnapshot><name>s9</name><state>shutoff</state><creationTime>1</creationTime>"
        "<domain type='qemu'><name>guest</name><uuid>00000000-1111-2222-3333-444444444444</uuid>"
        "<memory>1</memory><os><type>hvm</type></os></domain><active>0</active></domainsnapshot>");
    domain = open_guest(fixture);
    assert_tree(domain, "s1 s2<s1 *s3<s2 s4<s2");
    assert_problems(domain, "1 out out.xml\n1 s9 s9.xml\n");
    virDomainFree(domain);
}

static void close_and_open(struct fixture *fixture)
{
    assert_int_equal(virConnectClose(fixture->connection), 0);
    fixture->connection = virConnectOpen(fixture->uri);
    assert_non_null(fixture->connection);
}

static void cycles_orphans_and_several_currents_are_mended_when_asked(void **state)
{
    struct fixture *fixture = *state;
    virSnapProblemPtr *mended = NULL;
    virDomainPtr domain;
    char *path;
    char *text;
    int count;

    furnish(fixture);
    path = document_path(fixture, "s2.xml");
    assert_int_equal(unlink(path), 0);
    free(path);
    change_document(fixture, "s4.xml", "<active>0", "<active>1");
    domain = open_guest(fixture);
    assert_int_equal(virDomainSnapshotNum(domain, VIR_DOMAIN_SNAPSHOT_LIST_ROOTS), 3);
    assert_int_equal(virSnapDomainListProblems(domain, NULL, 0), 3);

    count = virSnapDomainRepair(domain, &mended,
                                VIR_SNAP_REPAIR_DRY_RUN | VIR_SNAP_REPAIR_REROOT |
                                    VIR_SNAP_REPAIR_ONE_CURRENT);
    assert_int_equal(count, 3);
    free(problems_text(mended, count));
    assert_int_equal(virSnapDomainListProblems(domain, NULL, 0), 3);
    assert_int_equal(virSnapDomainRepair(domain, NULL, 0), 0);

    count = virSnapDomainRepair(domain, NULL, VIR_SNAP_REPAIR_REROOT | VIR_SNAP_REPAIR_ONE_CURRENT);
    assert_int_equal(count, 3);
    assert_problems(domain, "");
    virDomainFree(domain);
    close_and_open(fixture);
    domain = virDomainLookupByName(fixture->connection, "guest");
    assert_problems(domain, "");
    text = tree_text(domain);
    assert_non_null(strchr(text, '*'));
    assert_ptr_equal(strchr(text, '*'), strrchr(text, '*'));
    assert_null(strchr(text, '<'));
    free(text);
    virDomainFree(domain);

    virConnectClose(fixture->connection);
    change_document(fixture, "s1.xml", "<creationTime>",
                    "<parent><name>s4</name></parent><creationTime>");
    change_document(fixture, "s4.xml", "<creationTime>",
                    "<parent><name>s1</name></parent><creationTime>");
    domain = open_guest(fixture);
    assert_int_equal(virSnapDomainListProblems(domain, &mended, 0), 1);
    assert_int_equal(mended[0]->kind, VIR_SNAP_PROBLEM_CYCLE);
    free(problems_text(mended, 1));
    assert_int_equal(virSnapDomainRepair(domain, NULL, VIR_SNAP_REPAIR_REROOT), 1);
    assert_problems(domain, "");
    virDomainFree(domain);
}

static void what_is_set_aside_is_kept(void **state)
{
    struct fixture *fixture = *state;
    virDomainPtr domain;
    char *aside;

    furnish(fixture);
    for (int round = 0; round < 2; round++) {
        put(fixture, "s4.xml", "broken");
        domain = open_guest(fixture);
        assert_int_equal(virSnapDomainRepair(domain, NULL, VIR_SNAP_REPAIR_SET_ASIDE), 1);
        assert_problems(domain, "");
        assert_tree(domain, "s1 s2<s1 *s3<s2");
        aside = format("%s/state/damaged/guest/s4.xml%s", fixture->root, round ? ".1" : "");
        assert_int_equal(access(aside, F_OK), 0);
        free(aside);
        close_guest(fixture, domain);
    }
    domain = open_guest(fixture);
    assert_int_equal(virDomainUndefineFlags(domain, VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA), 0);
    virDomainFree(domain);
}

static void a_definition_that_cannot_be_read_is_not_written_over(void **state)
{
    struct fixture *fixture = *state;
    virSnapProblemPtr *problems = NULL;
    char *path = format("%s/state/domain/guest.xml", fixture->root);
    FILE *stream;
    char *xml;

    furnish(fixture);
    stream = fopen(path, "w");
    assert_non_null(stream);
    fputs("<domain>", stream);
    fclose(stream);
    fixture->connection = virConnectOpen(fixture->uri);
    assert_non_null(fixture->connection);
    assert_int_equal(virSnapConnectListProblems(fixture->connection, &problems, 0), 1);
    assert_string_equal(problems[0]->name, "guest");
    free(problems_text(problems, 1));
    xml = domain_xml("guest", NULL, NULL, 0);
    assert_null(virDomainDefineXML(fixture->connection, xml));
    assert_refused("guest.xml");
    free(xml);
    free(path);
}

static int told;

static void count_problem(void *opaque, const virSnapProblem *problem)
{
    assert_ptr_equal(opaque, &told);
    assert_string_equal(problem->name, "s4");
    told++;
}

static void each_problem_is_told_once(void **state)
{
    struct fixture *fixture = *state;
    virDomainPtr domain;

    furnish(fixture);
    put(fixture, "s4.xml", "broken");
    virSnapSetProblemFunc(count_problem, &told);
    domain = open_guest(fixture);
    assert_int_equal(told, 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(virSnapDomainListProblems(domain, NULL, 0), 1);
    assert_int_equal(told, 1);
    virSnapSetProblemFunc(NULL, NULL);
    virDomainFree(domain);
}

static void read_only_connections_mend_nothing(void **state)
{
    struct fixture *fixture = *state;
    virDomainPtr domain;

    furnish(fixture);
    put(fixture, "s4.xml", "broken");
    fixture->connection = virConnectOpenReadOnly(fixture->uri);
    domain = virDomainLookupByName(fixture->connection, "guest");
    assert_int_equal(virSnapDomainListProblems(domain, NULL, 0), 1);
    assert_int_equal(virSnapDomainRepair(domain, NULL, VIR_SNAP_REPAIR_SET_ASIDE), -1);
    assert_error(VIR_ERR_OPERATION_DENIED, VIR_FROM_DOMAIN, NULL);
    assert_int_equal(virSnapDomainListProblems(domain, NULL, 1), -1);
    assert_int_equal(virGetLastErrorCode(), VIR_ERR_INVALID_ARG);
    virDomainFree(domain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(d33_one_bad_file_hides_nothing_else),
        fixture_test(d33_while_the_current_one_cannot_be_read_no_new_root_is_made),
        fixture_test(d37_what_is_no_document_is_named_and_does_not_block),
        fixture_test(d20_d36_a_foreign_domain_and_a_path_are_refused),
        fixture_test(cycles_orphans_and_several_currents_are_mended_when_asked),
        fixture_test(what_is_set_aside_is_kept),
        fixture_test(a_definition_that_cannot_be_read_is_not_written_over),
        fixture_test(each_problem_is_told_once),
        fixture_test(read_only_connections_mend_nothing),
    };

    return run_family("damage", tests);
}
