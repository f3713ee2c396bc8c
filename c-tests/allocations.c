/* Memory runs out: the n-th allocation of a call is refused, for every n, once or from then on. The
 * call then fails with VIR_ERR_NO_MEMORY or succeeds; nothing is torn, and a plain retry works.
 *
 *   allocations [STEP [TEST]]   for every STEP-th n only; that test only, which may have * in it */
#include "harness.h"
#include "images.h"
#include "refusal.h"
#include "snapshots.h"

#include <ftw.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GUEST "guest"
#define RENAMED "renamed"

static size_t step = 1;

/* Of the last error: handles are given back after a failure, which clears the thread's own. */
static int raised_code;
enum { WRONG = -1 };

static void note_error(void *user_data, virErrorPtr error)
{
    (void)user_data;
    raised_code = error->code;
}

/* An operation as a program writes it: 0, or -1 where a call has failed. */
typedef int operation(const struct fixture *fixture);

/* Whether what an operation tells is known: of these images, which take other blocks as a copy. */
static bool is_known;

static int finish_snapshot(virDomainPtr domain, virDomainSnapshotPtr snapshot)
{
    if (snapshot)
        virDomainSnapshotFree(snapshot);
    virDomainFree(domain);
    return snapshot ? 0 : -1;
}

static virDomainPtr guest(const struct fixture *fixture)
{
    return virDomainLookupByName(fixture->connection, GUEST);
}

static int create(const struct fixture *fixture)
{
    virDomainPtr domain = guest(fixture);

    if (!domain)
        return -1;
    return finish_snapshot(domain, virDomainSnapshotCreateXML(
        domain, "<domainsnapshot><name>new</name></domainsnapshot>", 0));
}

/* What is taken in; made while memory is there. */
static char *imported;

static int import(const struct fixture *fixture)
{
    virDomainPtr domain = guest(fixture);

    if (!domain)
        return -1;
    return finish_snapshot(domain, virDomainSnapshotCreateXML(
        domain, imported, VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE | VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT));
}

/* A document with many elements, and with long texts. */
static int import_large(const struct fixture *fixture)
{
    return import(fixture);
}

/* One whose reading takes more than the library's reserve; its large allocations are refused. */
static int import_huge(const struct fixture *fixture)
{
    return import(fixture);
}

/* Looks a snapshot up and does something to it. */
static int with(const struct fixture *fixture, const char *name, unsigned int flags,
                int (*act)(virDomainSnapshotPtr, unsigned int))
{
    virDomainPtr domain = guest(fixture);
    virDomainSnapshotPtr snapshot = domain ? virDomainSnapshotLookupByName(domain, name, 0) : NULL;
    int answer = snapshot ? act(snapshot, flags) : -1;

    if (snapshot)
        virDomainSnapshotFree(snapshot);
    if (domain)
        virDomainFree(domain);
    return answer;
}

static int delete_node(const struct fixture *fixture)
{
    return with(fixture, "a", 0, virDomainSnapshotDelete);
}

static int delete_subtree(const struct fixture *fixture)
{
    return with(fixture, "a", VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN, virDomainSnapshotDelete);
}

static int delete_metadata(const struct fixture *fixture)
{
    return with(fixture, "r", VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY, virDomainSnapshotDelete);
}

static int revert(const struct fixture *fixture)
{
    return with(fixture, "a", 0, virDomainRevertToSnapshot);
}

static int redefine_domain(const struct fixture *fixture)
{
    virDomainPtr domain = guest(fixture);
    char *xml = domain ? virDomainGetXMLDesc(domain, VIR_DOMAIN_XML_SECURE) : NULL;
    virDomainPtr again = xml ? virDomainDefineXML(fixture->connection, xml) : NULL;

    if (again)
        virDomainFree(again);
    free(xml);
    if (domain)
        virDomainFree(domain);
    return again ? 0 : -1;
}

static int undefine(const struct fixture *fixture)
{
    virDomainPtr domain = guest(fixture);
    int answer = -1;

    if (domain) {
        answer = virDomainUndefineFlags(domain, VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA);
        virDomainFree(domain);
    }
    return answer;
}

static int rename_domain(const struct fixture *fixture)
{
    virDomainPtr domain = guest(fixture);
    int answer = -1;

    if (domain) {
        answer = virDomainRename(domain, RENAMED, 0);
        virDomainFree(domain);
    }
    return answer;
}

/* All that only reads, on a connection of its own. */
static int list(const struct fixture *fixture)
{
    virConnectPtr connection = virConnectOpen(fixture->uri);
    virDomainPtr domain = connection ? virDomainLookupByName(connection, GUEST) : NULL;
    virDomainSnapshotPtr *snapshots = NULL;
    int count = domain ? virDomainListAllSnapshots(domain, &snapshots, 0) : -1;
    int answer = count < 0 ? -1 : 0;

    for (int i = 0; i < count; i++) {
        char *xml = answer == 0 ? virDomainSnapshotGetXMLDesc(snapshots[i], 0) : NULL;

        if (!xml)
            answer = -1;
        free(xml);
    }
    for (int i = 0; i < count; i++)
        virDomainSnapshotFree(snapshots[i]);
    free(snapshots);
    if (domain)
        virDomainFree(domain);
    if (connection)
        virConnectClose(connection);
    return answer;
}

/* FNV-1a, 64 bits. */
#define SUM_OF_NOTHING UINT64_C(0xcbf29ce484222325)
static uint64_t sum;

static void add(const void *bytes, size_t length)
{
    const unsigned char *byte = bytes;

    for (size_t i = 0; i < length; i++)
        sum = (sum ^ byte[i]) * UINT64_C(0x100000001b3);
}

/* No call has failed, and still it is wrong: the trial ends with a code that none has. Nothing may be
 * printed here, without memory. */
static int say_wrong(void)
{
    raised_code = WRONG;
    return -1;
}

/* What is told is all that there is to tell: the sum is as it was with memory, where the call does not
 * fail. 0 or -1, as the calls answered. */
static int told_whole(int answer)
{
    static uint64_t whole;

    if (!is_known) {
        whole = sum;
        is_known = true;
    }
    return answer == 0 && sum != whole ? say_wrong() : answer;
}

static void add_text(const char *text)
{
    if (text)
        add(text, strlen(text));
    add("", 1);
}

/* Adds a plan and frees it. */
static int add_plan(virSnapPlanPtr plan)
{
    if (!plan)
        return -1;
    for (int i = 0; i < plan->nsteps; i++) {
        add(&plan->steps[i]->kind, sizeof(plan->steps[i]->kind));
        add(&plan->steps[i]->bytes, sizeof(plan->steps[i]->bytes));
        add_text(plan->steps[i]->name);
        add_text(plan->steps[i]->parent);
        add_text(plan->steps[i]->file);
        add_text(plan->steps[i]->disk);
        add_text(plan->steps[i]->text);
    }
    for (int i = 0; i < plan->nrefusals; i++)
        add_text(plan->refusals[i]);
    add(&plan->freed, sizeof(plan->freed));
    add(&plan->needed, sizeof(plan->needed));
    add_text(plan->text);
    virSnapPlanFree(plan);
    return 0;
}

static int plan_delete(virDomainSnapshotPtr snapshot, unsigned int flags)
{
    return add_plan(virSnapDomainSnapshotPlanDelete(snapshot, flags));
}

static int plan_revert(virDomainSnapshotPtr snapshot, unsigned int flags)
{
    return add_plan(virSnapDomainSnapshotPlanRevert(snapshot, flags));
}

/* Plans of the operations on a whole domain; one is refused, for more reasons than one. */
static int plan_domain(virDomainPtr domain)
{
    return add_plan(virSnapDomainPlanCreate(
               domain, "<domainsnapshot><name>new</name></domainsnapshot>", 0)) == 0 &&
           add_plan(virSnapDomainPlanCreate(
               domain, imported, VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE)) == 0 &&
           add_plan(virSnapDomainPlanUndefine(domain, 0)) == 0 &&
           add_plan(virSnapDomainPlanUndefine(
               domain, VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA)) == 0 &&
           add_plan(virSnapDomainPlanMigrate(domain, VIR_SNAP_MIGRATE_METADATA)) == 0
               ? 0 : -1;
}

static int plans(const struct fixture *fixture)
{
    virDomainPtr domain = guest(fixture);
    int answer = -1;

    sum = SUM_OF_NOTHING;
    if (domain) {
        answer = plan_domain(domain);
        virDomainFree(domain);
    }
    if (answer == 0)
        answer = with(fixture, "a", 0, plan_delete);
    if (answer == 0)
        answer = with(fixture, "r", VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN, plan_delete);
    if (answer == 0)
        answer = with(fixture, "a", 0, plan_revert);
    /* It has no data. */
    if (answer == 0)
        answer = with(fixture, "b", 0, plan_revert);
    return told_whole(answer);
}

static int size_of(virDomainSnapshotPtr snapshot, unsigned int flags)
{
    virSnapSize size = {.size = sizeof(size)};

    if (virSnapDomainSnapshotGetSize(snapshot, &size, flags) != 0)
        return -1;
    add(&size.occupied, sizeof(size.occupied));
    add(&size.freed, sizeof(size.freed));
    add(&size.memory, sizeof(size.memory));
    add(&size.unknown, sizeof(size.unknown));
    return 0;
}

static int sizes(const struct fixture *fixture)
{
    int answer;

    sum = SUM_OF_NOTHING;
    answer = with(fixture, "r", 0, size_of) == 0 && with(fixture, "b", 0, size_of) == 0 &&
             with(fixture, "c", 0, size_of) == 0 ? 0 : -1;
    return told_whole(answer);
}

static int heard;

static void hear(virConnectPtr conn, const virSnapEvent *event, void *opaque)
{
    (void)conn;
    (void)opaque;
    heard += event->id == VIR_SNAP_EVENT_CREATED;
}

static int let_go;

static void let_it_go(void *opaque)
{
    (void)opaque;
    let_go++;
}

static int listen_to_changes(const struct fixture *fixture)
{
    heard = let_go = 0;
    return virSnapConnectEventRegister(fixture->connection, NULL, -1, hear, NULL, let_it_go);
}

static int leave(const struct fixture *fixture, int id)
{
    return id < 0 ? -1 : virSnapConnectEventDeregister(fixture->connection, id);
}

static int listen(const struct fixture *fixture)
{
    int answer = leave(fixture, listen_to_changes(fixture));

    /* What it has heard with is given up with it, and only then. */
    assert_int_equal(let_go, answer == 0);
    return answer;
}

/* Somebody is told of changes: of each, by this call or the next that looks. */
static int watched_import(const struct fixture *fixture)
{
    return import(fixture);
}

/* Over all files but those that are made anew whenever somebody looks. */
static size_t root_length;

static int add_file(const char *path, const struct stat *status, int kind, struct FTW *position)
{
    const char *relative = path + root_length;
    char bytes[65536];
    size_t length;
    FILE *file;

    (void)status;
    (void)position;
    if (kind != FTW_F || strstr(relative, "/lock/") || strstr(relative, "/stage/.reserve"))
        return 0;
    add(relative, strlen(relative));
    file = fopen(path, "rb");
    if (!file)
        return -1;
    while ((length = fread(bytes, 1, sizeof(bytes), file)) > 0)
        add(bytes, length);
    fclose(file);
    return 0;
}

static uint64_t files(const struct fixture *fixture)
{
    sum = SUM_OF_NOTHING;
    root_length = strlen(fixture->root);
    assert_int_equal(nftw(fixture->root, add_file, 8, FTW_PHYS), 0);
    return sum;
}

static void run_shell(const char *form, const char *root)
{
    char command[2 * PATH_SIZE];

    snprintf(command, sizeof(command), form, root, root);
    assert_int_equal(system(command), 0);
}

static void open_connection(struct fixture *fixture)
{
    fixture->connection = virConnectOpen(fixture->uri);
    assert_non_null(fixture->connection);
}

static void close_connection(struct fixture *fixture)
{
    assert_int_equal(virConnectClose(fixture->connection), 0);
    fixture->connection = NULL;
}

/* Puts everything back as it was prepared. */
static void restore(struct fixture *fixture)
{
    run_shell("cd '%s' && rm -rf state *.qcow2 && cp -a '%s'.prepared/. .", fixture->root);
}

/* The domains with their snapshots, as this connection shows them. */
static char *shown(const struct fixture *fixture)
{
    static const char *const names[] = {GUEST, RENAMED};
    char *text = format("%s", "");

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        virDomainPtr domain = virDomainLookupByName(fixture->connection, names[i]);
        char *tree = domain ? tree_text(domain) : NULL;
        char *longer = tree ? format("%s[%s: %s]", text, names[i], tree) : NULL;

        if (longer) {
            free(text);
            text = longer;
        }
        free(tree);
        if (domain)
            virDomainFree(domain);
    }
    return text;
}

/* As shown, and what is in the image, by a connection that knows nothing yet. */
static char *stored(struct fixture *fixture)
{
    char *image = fixture_path(fixture, GUEST "-vda.qcow2");
    char *tree, *data, *both;

    close_connection(fixture);
    open_connection(fixture);
    tree = shown(fixture);
    data = image_snapshots(image);
    both = format("%s | %s", tree, data);
    free(data);
    free(tree);
    free(image);
    return both;
}

struct state {
    uint64_t files;
    char *tree;
    char *all;
};

static struct state state_now(struct fixture *fixture)
{
    struct state now;

    now.all = stored(fixture);
    now.tree = shown(fixture);
    now.files = files(fixture);
    return now;
}

static void forget(struct state state)
{
    free(state.all);
    free(state.tree);
}

/* A trial that may have changed something: it is before or after, and once more ends in after. */
static void check_changed(struct fixture *fixture, operation *operate, size_t number, int answer,
                          const struct state *before, const struct state *after)
{
    char *now = stored(fixture);
    bool is_after = strcmp(now, after->all) == 0;

    if (!is_after && (answer == 0 || strcmp(now, before->all) != 0))
        fail_msg("allocation %zu: answered %d, is '%s', was '%s'", number, answer, now,
                 before->all);
    free(now);
    if (!is_after) {
        if (operate(fixture) != 0)
            fail_msg("allocation %zu: the retry failed: %s", number,
                     virGetLastErrorMessage());
        assert_text(stored(fixture), after->all);
    }
    close_connection(fixture);
    restore(fixture);
    open_connection(fixture);
}

/* Where the calls of an operation are made. */
enum thread { SAME_THREAD, NEW_THREAD };

struct trial {
    operation *operate;
    const struct fixture *fixture;
    size_t number;
    bool from_then_on;
    int answer;
    bool refused;
};

static void *make(void *argument)
{
    struct trial *trial = argument;

    refuse(trial->number, trial->from_then_on);
    trial->answer = trial->operate(trial->fixture);
    trial->refused = refuse_no_more();
    return NULL;
}

static void make_in(enum thread where, struct trial *trial)
{
    pthread_t thread;

    if (where == SAME_THREAD) {
        make(trial);
        return;
    }
    assert_int_equal(pthread_create(&thread, NULL, make, trial), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

/* What a thread has once is asked for at the beginning of its first call: none of that is left out. */
static size_t next(size_t number, enum thread where)
{
    return number + (where == NEW_THREAD && number < 32 ? 1 : step);
}

static void refuse_each(struct fixture *fixture, operation *operate, enum thread where,
                        bool from_then_on, const struct state *before, const struct state *after)
{
    /* With a step, each of the two finds other numbers. */
    size_t first = from_then_on && where == SAME_THREAD ? step / 2 : 0;

    for (size_t number = 1 + first; ; number = next(number, where)) {
        struct trial trial = {operate, fixture, number, from_then_on, 0, false};
        int id = operate == watched_import ? listen_to_changes(fixture) : -1;
        int answer;
        char *tree;

        make_in(where, &trial);
        answer = trial.answer;
        if (!trial.refused) {
            assert_int_equal(answer, 0);
            leave(fixture, id);
            print_message("refused %s: all before allocation %zu\n",
                          from_then_on ? "from then on" : "once", number);
            return;
        }
        if (answer != 0 && raised_code != VIR_ERR_NO_MEMORY)
            fail_msg("allocation %zu: error %d", number, raised_code);
        tree = shown(fixture);
        if (strcmp(tree, before->tree) != 0 && strcmp(tree, after->tree) != 0)
            fail_msg("allocation %zu: shows '%s'", number, tree);
        if (operate == watched_import) {
            if (heard != (strcmp(tree, after->tree) == 0))
                fail_msg("allocation %zu: shows '%s', told %d times", number, tree, heard);
            assert_int_equal(leave(fixture, id), 0);
        }
        free(tree);
        if (files(fixture) != before->files || answer == 0)
            check_changed(fixture, operate, number, answer, before, after);
        else {
            /* Nothing is known any more to the next trial: it loads, too. */
            close_connection(fixture);
            open_connection(fixture);
        }
    }
}

/* Elements that a definition may have any number of. */
struct more {
    const char *element;
    size_t count;
};

static char *elements(struct more more)
{
    size_t length = strlen(more.element);
    char *text = calloc(more.count + 1, length + 1);

    assert_non_null(text);
    for (size_t i = 0; i < more.count; i++)
        memcpy(text + i * length, more.element, length);
    return text;
}

/* A definition with these elements more. Frees its argument; freed by the caller. */
static char *enlarged(char *definition, struct more elements_more)
{
    char *rest = strstr(definition, "<memory");
    char *more = elements(elements_more);
    char *larger;

    assert_non_null(rest);
    larger = format("%.*s<metadata><x:m xmlns:x='urn:x'>%s</x:m></metadata>%s",
                    (int)(rest - definition), definition, more, rest);
    free(more);
    free(definition);
    return larger;
}

/* Before each operation: r has the children a and b, a the current c; all but b have data. */
static void prepare(struct fixture *fixture, struct more more)
{
    virDomainPtr domain = fixture_domain(fixture, GUEST, 1);
    char *definition;

    virDomainSnapshotFree(snapshot_create(domain, "r", 0));
    virDomainSnapshotFree(snapshot_create(domain, "a", 0));
    virDomainSnapshotFree(snapshot_redefine(domain, "b", "r", 0));
    virDomainSnapshotFree(snapshot_create(domain, "c", 0));
    definition = domain_definition(domain);
    if (more.count > 0)
        definition = enlarged(definition, more);
    imported = document_xml((struct document){
        .name = "new",
        .state = "shutoff",
        .parent = "b",
        .created = "1000000000",
        .domain = definition,
    });
    free(definition);
    virDomainFree(domain);
    close_connection(fixture);
    run_shell("cp -a '%s' '%s.prepared'", fixture->root);
    open_connection(fixture);
}

static void refuse_everywhere(struct fixture *fixture, operation *operate, enum thread where)
{
    struct state before, after;
    struct more more = {"<a b='c'/>", operate == import_large ? 10000 : 0};

    virSetErrorFunc(NULL, note_error);
    if (operate == import_huge) {
        more = (struct more){"<a/>", 130000};
        refuse_large_only(64 * 1024);
    }
    prepare(fixture, more);
    before = state_now(fixture);
    /* What the row before told is not what this one tells. */
    is_known = false;
    /* Once untouched: it shows what comes after, and has done what a thread does once. */
    assert_int_equal(operate(fixture), 0);
    after = state_now(fixture);
    for (int from_then_on = 0; from_then_on < 2; from_then_on++) {
        close_connection(fixture);
        restore(fixture);
        open_connection(fixture);
        is_known = false;
        if (operate == plans || operate == sizes)
            assert_int_equal(operate(fixture), 0);
        refuse_each(fixture, operate, where, from_then_on, &before, &after);
    }
    refuse_large_only(0);
    forget(after);
    forget(before);
    free(imported);
    run_shell("rm -rf '%s.prepared'", fixture->root);
}

#define refused_test(operation)                       \
    static void operation##_without_memory(void **state) \
    {                                                 \
        refuse_everywhere(*state, operation, SAME_THREAD); \
    }

/* Of a thread that has made no call before: it gets what a thread has once. */
#define refused_in_new_thread_test(operation)         \
    static void operation##_without_memory_in_a_new_thread(void **state) \
    {                                                 \
        refuse_everywhere(*state, operation, NEW_THREAD); \
    }

refused_test(create)
refused_test(import)
refused_test(import_large)
refused_test(import_huge)
refused_test(delete_node)
refused_test(delete_subtree)
refused_test(delete_metadata)
refused_test(revert)
refused_test(redefine_domain)
refused_test(undefine)
refused_test(rename_domain)
refused_test(list)
refused_test(plans)
refused_test(sizes)
refused_test(listen)
refused_test(watched_import)
refused_in_new_thread_test(list)
refused_in_new_thread_test(import)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        fixture_test(list_without_memory),
        fixture_test(list_without_memory_in_a_new_thread),
        fixture_test(plans_without_memory),
        fixture_test(sizes_without_memory),
        fixture_test(listen_without_memory),
        fixture_test(watched_import_without_memory),
        fixture_test(import_without_memory),
        fixture_test(import_without_memory_in_a_new_thread),
        fixture_test(import_large_without_memory),
        fixture_test(import_huge_without_memory),
        fixture_test(delete_metadata_without_memory),
        fixture_test(redefine_domain_without_memory),
        fixture_test(undefine_without_memory),
        fixture_test(rename_domain_without_memory),
        fixture_test(create_without_memory),
        fixture_test(delete_node_without_memory),
        fixture_test(delete_subtree_without_memory),
        fixture_test(revert_without_memory),
    };

    if (argc > 1)
        step = strtoul(argv[1], NULL, 10);
    if (step == 0)
        return 2;
    if (argc > 2)
        cmocka_set_test_filter(argv[2]);
    return run_family("allocations", tests);
}
