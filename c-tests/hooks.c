/* A program's own functions for its guest, each given for a real QEMU: that it is called, that its
 * failure is told and leaves everything as it was. */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "images.h"
#include "qemu.h"
#include "snapshots.h"

#define CAUSE "the roof is on fire"
#define DISK_ONLY VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY
#define QUIESCE VIR_DOMAIN_SNAPSHOT_CREATE_QUIESCE

enum { LINE = 1 << 18 };

enum hook {
    NONE,
    GET_STATE,
    GET_DEFINITION,
    SET_DEFINITION,
    START,
    STOP,
    PAUSE,
    RESUME,
    MONITOR_COMMAND,
    AGENT_COMMAND,
    CREATE_DATA,
    REVERT_DATA,
    DELETE_DATA,
    PROGRESS,
    HOOKS,
};

/* What the functions get: a program with one guest. */
static struct program {
    struct fixture *fixture;
    virDomainPtr domain;
    char *definition;
    FILE *monitor; /* its connection for the library's commands; NULL while the guest is off */
    bool is_frozen;
    enum hook failing;
    int calls[HOOKS];
    int descriptors; /* that came with commands */
    int released;
    char told[4096]; /* the last failure's text */
} program;

/* Counts a call; whether it is to fail. */
static bool fails(enum hook hook)
{
    program.calls[hook]++;
    if (program.failing != hook)
        return false;
    virSnapSetCallbackError(CAUSE);
    return true;
}

static const char *root(void)
{
    return program.fixture->root;
}

static void forget_calls(void)
{
    memset(program.calls, 0, sizeof(program.calls));
    program.descriptors = 0;
}

/* One command to the guest by the program's own connection for the library. */
static char *through_monitor(const char *command, int fd)
{
    char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec bytes = {(void *)command, strlen(command)};
    struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1};
    char *answer = malloc(LINE);

    assert_non_null(answer);
    if (fd >= 0) {
        struct cmsghdr *header;

        message.msg_control = control;
        message.msg_controllen = sizeof(control);
        header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &fd, sizeof(int));
    }
    assert_int_equal(sendmsg(fileno(program.monitor), &message, MSG_NOSIGNAL), strlen(command));
    assert_int_equal(send(fileno(program.monitor), "\n", 1, MSG_NOSIGNAL), 1);
    do
        assert_non_null(fgets(answer, LINE, program.monitor));
    while (strstr(answer, "\"event\""));
    return answer;
}

static void connect_monitor(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char path[GUEST_PATH_SIZE];
    char greeting[LINE];
    int end = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    run_path(path, root(), "qmp");
    assert_true(strlen(path) < sizeof(address.sun_path));
    memcpy(address.sun_path, path, strlen(path) + 1);
    assert_int_equal(connect(end, (struct sockaddr *)&address, sizeof(address)), 0);
    program.monitor = fdopen(end, "r");
    assert_non_null(fgets(greeting, sizeof(greeting), program.monitor));
    free(through_monitor("{\"execute\":\"qmp_capabilities\"}", -1));
}

static bool runs(void)
{
    char *status = ask(root(), "{\"execute\":\"query-status\"}");
    bool answer = strstr(status, "\"running\": true");

    free(status);
    return answer;
}

static void start_guest(const char *definition)
{
    begin_guest(root(), definition, 1);
    connect_monitor();
}

static void stop_guest(void)
{
    if (program.monitor)
        fclose(program.monitor);
    program.monitor = NULL;
    end_guest(root());
}

static int get_state(void *opaque)
{
    assert_ptr_equal(opaque, &program);
    if (fails(GET_STATE))
        return -1;
    if (!guest_process(root()))
        return VIR_DOMAIN_SHUTOFF;
    return runs() ? VIR_DOMAIN_RUNNING : VIR_DOMAIN_PAUSED;
}

static char *get_definition(void *opaque)
{
    assert_ptr_equal(opaque, &program);
    return fails(GET_DEFINITION) ? NULL : strdup(program.definition);
}

static int set_definition(void *opaque, const char *xml)
{
    assert_ptr_equal(opaque, &program);
    if (fails(SET_DEFINITION))
        return -1;
    free(program.definition);
    program.definition = strdup(xml);
    return 0;
}

static int start(void *opaque, const char *xml, unsigned int flags)
{
    assert_ptr_equal(opaque, &program);
    assert_int_equal(flags, 0);
    if (fails(START))
        return -1;
    start_guest(xml);
    free(ask(root(), "{\"execute\":\"stop\"}"));
    return 0;
}

static int stop(void *opaque)
{
    assert_ptr_equal(opaque, &program);
    if (fails(STOP))
        return -1;
    stop_guest();
    return 0;
}

static int pause_guest(void *opaque)
{
    assert_ptr_equal(opaque, &program);
    if (fails(PAUSE))
        return -1;
    free(ask(root(), "{\"execute\":\"stop\"}"));
    return 0;
}

static int resume(void *opaque)
{
    assert_ptr_equal(opaque, &program);
    if (fails(RESUME))
        return -1;
    free(ask(root(), "{\"execute\":\"cont\"}"));
    return 0;
}

static char *monitor_command(void *opaque, const char *command, int fd)
{
    assert_ptr_equal(opaque, &program);
    program.descriptors += fd >= 0;
    if (fails(MONITOR_COMMAND))
        return NULL;
    /* The library has pause and resume for these. */
    assert_null(strstr(command, "\"execute\":\"stop\""));
    assert_null(strstr(command, "\"execute\":\"cont\""));
    return through_monitor(command, fd);
}

/* A played agent: a real one is in agent.py. */
static char *agent_command(void *opaque, const char *command, int seconds)
{
    assert_ptr_equal(opaque, &program);
    assert_true(seconds > 0);
    if (fails(AGENT_COMMAND))
        return NULL;
    if (strstr(command, "guest-fsfreeze-status"))
        return strdup(program.is_frozen ? "{\"return\":\"frozen\"}" : "{\"return\":\"thawed\"}");
    program.is_frozen = strstr(command, "guest-fsfreeze-freeze");
    return strdup("{\"return\":1}");
}

/* The name in a snapshot's document. */
static char *named(const char *xml)
{
    const char *name = strstr(xml, "<name>");

    assert_non_null(name);
    return strndup(name + 6, strcspn(name + 6, "<"));
}

/* The program's own way: QEMU's, of the human monitor. */
static int do_own(enum hook hook, const char *command, const char *xml)
{
    char *name = named(xml);
    char *line = format("%s %s", command, name);
    char *answer;

    free(name);
    if (fails(hook)) {
        free(line);
        return -1;
    }
    answer = ask_human(root(), line);
    free(line);
    assert_non_null(strstr(answer, "\"return\": \"\""));
    free(answer);
    return 0;
}

static int create_data(void *opaque, const char *xml, unsigned int flags)
{
    assert_ptr_equal(opaque, &program);
    assert_int_equal(flags, 0);
    return do_own(CREATE_DATA, "savevm", xml);
}

static int revert_data(void *opaque, const char *xml, unsigned int flags)
{
    assert_ptr_equal(opaque, &program);
    assert_int_equal(flags, VIR_DOMAIN_SNAPSHOT_REVERT_RUNNING);
    return do_own(REVERT_DATA, "loadvm", xml);
}

static int delete_data(void *opaque, const char *xml)
{
    assert_ptr_equal(opaque, &program);
    return do_own(DELETE_DATA, "delvm", xml);
}

static int progress(void *opaque, unsigned long long done, unsigned long long total)
{
    assert_ptr_equal(opaque, &program);
    assert_true(done <= total);
    return fails(PROGRESS);
}

static void release(void *opaque)
{
    assert_ptr_equal(opaque, &program);
    program.released++;
}

/* The guest runs, and nothing is attached to its domain but these functions. */
static void set_up(void **state, virSnapDomainCallbacks hooks)
{
    memset(&program, 0, sizeof(program));
    program.fixture = *state;
    program.domain = fixture_domain(program.fixture, "guest", 2);
    program.definition = domain_definition(program.domain);
    start_guest(program.definition);
    hooks.size = sizeof(hooks);
    hooks.release = release;
    assert_int_equal(virSnapDomainSetCallbacks(program.domain, &hooks, &program, 0), 0);
    forget_calls();
}

static int tear_down(void **state)
{
    stop_guest();
    assert_int_equal(virSnapDomainSetCallbacks(program.domain, NULL, NULL, 0), 0);
    assert_int_equal(program.released, 1);
    free(program.definition);
    virDomainFree(program.domain);
    return fixture_tear_down(state);
}

/* All but those for the program's own data. */
static const virSnapDomainCallbacks guest_hooks = {
    .getState = get_state,
    .getDefinition = get_definition,
    .setDefinition = set_definition,
    .start = start,
    .stop = stop,
    .pause = pause_guest,
    .resume = resume,
    .monitorCommand = monitor_command,
    .agentCommand = agent_command,
    .progress = progress,
};

static const virSnapDomainCallbacks data_hooks = {
    .getState = get_state,
    .createData = create_data,
    .revertData = revert_data,
    .deleteData = delete_data,
};

/* To free a handle resets it. */
static void keep_error(void)
{
    snprintf(program.told, sizeof(program.told), "%s", virGetLastErrorMessage());
}

static int take(const char *name, const char *more, unsigned int flags)
{
    char *xml = format("<domainsnapshot><name>%s</name>%s</domainsnapshot>", name, more);
    virDomainSnapshotPtr snapshot = virDomainSnapshotCreateXML(program.domain, xml, flags);

    free(xml);
    keep_error();
    if (!snapshot)
        return -1;
    virDomainSnapshotFree(snapshot);
    return 0;
}

static int take_with_memory(const char *name)
{
    char *more = format("<memory snapshot='external' file='%s/%s.memory'/>", root(), name);
    int answer = take(name, more, 0);

    free(more);
    return answer;
}

static int revert(const char *name, unsigned int flags)
{
    virDomainSnapshotPtr snapshot = snapshot_lookup(program.domain, name);
    int answer = virDomainRevertToSnapshot(snapshot, flags);

    keep_error();
    virDomainSnapshotFree(snapshot);
    return answer;
}

static bool exists(const char *name)
{
    char *path = fixture_path(program.fixture, name);
    bool answer = access(path, F_OK) == 0;

    free(path);
    return answer;
}

static bool guest_reads(int pattern)
{
    char command[64];
    char said[4096];

    snprintf(command, sizeof(command), "read -P %d %dk 64k", pattern, pattern * 64);
    device_io(root(), 'a', command, said, sizeof(said));
    assert_non_null(strstr(said, "read 65536/65536"));
    return !strstr(said, "verification failed");
}

static void assert_told(const char *callback)
{
    if (!strstr(program.told, CAUSE) || !strstr(program.told, callback))
        fail_msg("%s: %s", callback, program.told);
}

static void disks_are_switched_by_the_programs_hands(void **state)
{
    set_up(state, guest_hooks);
    write_in_guest(root(), 2, 1);
    forget_calls();
    assert_int_equal(take("e", "", DISK_ONLY | QUIESCE), 0);
    assert_true(program.calls[GET_STATE] > 0);
    assert_true(program.calls[GET_DEFINITION] > 0);
    assert_int_equal(program.calls[SET_DEFINITION], 1);
    assert_non_null(strstr(program.definition, "guest-vda.e'"));
    assert_true(program.calls[MONITOR_COMMAND] > 5);
    assert_int_equal(program.calls[PAUSE], 0);
    /* Status, freeze, thaw. */
    assert_int_equal(program.calls[AGENT_COMMAND], 3);
    assert_false(program.is_frozen);
    assert_true(runs() && guest_reads(1));
}

static void memory_goes_through_the_programs_hands(void **state)
{
    set_up(state, guest_hooks);
    assert_int_equal(take_with_memory("m"), 0);
    assert_int_equal(program.calls[PAUSE], 1);
    assert_int_equal(program.calls[RESUME], 1);
    assert_int_equal(program.descriptors, 1);
    assert_true(runs());
    assert_true(exists("m.memory"));
}

/* Whether there is time to stop so small a work is a matter of luck. */
static void what_takes_long_is_told_and_can_be_stopped(void **state)
{
    set_up(state, guest_hooks);
    write_in_guest(root(), 2, 1);
    assert_int_equal(take("m", "", 0), 0);
    assert_true(program.calls[PROGRESS] > 0);
    program.failing = PROGRESS;
    if (take("s", "", 0) < 0) {
        assert_int_equal(virGetLastErrorCode(), VIR_ERR_OPERATION_ABORTED);
        assert_text(domain_list(program.domain, 0), "m");
    }
    program.failing = NONE;
    assert_true(runs() && guest_reads(1));
}

static void the_program_stops_and_starts_its_guest(void **state)
{
    set_up(state, guest_hooks);
    assert_int_equal(take("e", "", DISK_ONLY), 0);
    write_in_guest(root(), 2, 2);
    assert_int_equal(revert("e", 0), 0);
    assert_int_equal(program.calls[STOP], 1);
    assert_int_equal(program.calls[START], 0);
    assert_int_equal(guest_process(root()), 0);
    forget_calls();
    assert_int_equal(revert("e", VIR_DOMAIN_SNAPSHOT_REVERT_RUNNING), 0);
    assert_int_equal(program.calls[STOP], 0);
    assert_int_equal(program.calls[START], 1);
    assert_int_equal(program.calls[RESUME], 1);
    assert_true(runs());
    assert_false(guest_reads(2));
}

/* The guest runs as before, and there is nothing of a snapshot `s`. */
static void assert_as_before(const char *definition)
{
    program.failing = NONE;
    assert_true(runs() && guest_reads(1));
    assert_false(program.is_frozen);
    assert_text(domain_list(program.domain, 0), "");
    assert_text(domain_definition(program.domain), definition);
    assert_string_equal(program.definition, definition);
    assert_false(exists("guest-vda.s") || exists("guest-vdb.s") || exists("s.memory"));
}

static void a_failure_is_told_and_leaves_all_as_it_was(void **state)
{
    static const struct {
        enum hook hook;
        const char *name;
        bool with_memory;
    } failures[] = {
        {GET_STATE, "getState", false},
        {GET_DEFINITION, "getDefinition", false},
        {MONITOR_COMMAND, "monitorCommand", false},
        {AGENT_COMMAND, "agentCommand", false},
        {PAUSE, "pause", true},
    };
    char *definition;

    set_up(state, guest_hooks);
    write_in_guest(root(), 2, 1);
    definition = strdup(program.definition);
    for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
        forget_calls();
        program.failing = failures[i].hook;
        assert_int_equal(failures[i].with_memory ? take_with_memory("s")
                                                 : take("s", "", DISK_ONLY | QUIESCE),
                         -1);
        assert_told(failures[i].name);
        assert_true(program.calls[failures[i].hook] > 0);
        assert_as_before(definition);
    }
    free(definition);
    assert_int_equal(take("s", "", DISK_ONLY | QUIESCE), 0);
}

/* Only the program can mend that; then the library takes its snapshot back. */
static void a_guest_that_cannot_be_resumed_is_mended_by_the_next_change(void **state)
{
    char *definition;

    set_up(state, guest_hooks);
    write_in_guest(root(), 2, 1);
    definition = strdup(program.definition);
    program.failing = RESUME;
    assert_int_equal(take_with_memory("s"), -1);
    assert_told("resume");
    assert_false(runs());
    program.failing = NONE;
    assert_int_equal(resume(&program), 0);
    assert_int_equal(take("probe", "", DISK_ONLY), 0);
    snapshot_delete(program.domain, "probe", 0);
    assert_as_before(definition);
    free(definition);
}

static void a_guest_that_cannot_be_stopped_is_not_reverted(void **state)
{
    char *definition;

    set_up(state, guest_hooks);
    assert_int_equal(take("e", "", DISK_ONLY), 0);
    write_in_guest(root(), 2, 2);
    definition = strdup(program.definition);
    program.failing = STOP;
    assert_int_equal(revert("e", 0), -1);
    assert_told("stop");
    assert_true(runs() && guest_reads(2));
    assert_string_equal(program.definition, definition);
    free(definition);
}

static void a_guest_that_cannot_be_started_is_off_and_reverted(void **state)
{
    set_up(state, guest_hooks);
    assert_int_equal(take("e", "", DISK_ONLY), 0);
    write_in_guest(root(), 2, 2);
    program.failing = START;
    assert_int_equal(revert("e", VIR_DOMAIN_SNAPSHOT_REVERT_RUNNING), -1);
    assert_told("start");
    assert_int_equal(guest_process(root()), 0);
    program.failing = NONE;
    assert_int_equal(revert("e", VIR_DOMAIN_SNAPSHOT_REVERT_RUNNING), 0);
    assert_true(runs());
    assert_false(guest_reads(2));
}

/* It is stored: a program that does not take it in finds it there. */
static void a_definition_that_is_not_taken_in_is_stored(void **state)
{
    set_up(state, guest_hooks);
    program.failing = SET_DEFINITION;
    assert_int_equal(take("e", "", DISK_ONLY), 0);
    assert_null(strstr(program.definition, "guest-vda.e'"));
    assert_int_equal(virSnapDomainSetCallbacks(program.domain, NULL, NULL, 0), 0);
    free(program.definition);
    program.definition = domain_definition(program.domain);
    assert_non_null(strstr(program.definition, "guest-vda.e'"));
}

/* It would go on writing to what a snapshot shows from then on. */
static void a_guest_that_is_not_attached_is_noticed(void **state)
{
    static const char *const text = "no guest is attached to the domain";
    char monitor[GUEST_PATH_SIZE];
    virDomainSnapshotPtr snapshot;

    set_up(state, guest_hooks);
    run_path(monitor, root(), "qmp");
    fclose(program.monitor);
    program.monitor = NULL;
    assert_int_equal(virSnapDomainSetCallbacks(program.domain, NULL, NULL, 0), 0);
    assert_int_equal(take("s", "", DISK_ONLY), -1);
    assert_non_null(strstr(program.told, text));
    assert_int_equal(take("s", "", 0), -1);
    assert_non_null(strstr(program.told, text));
    assert_text(domain_list(program.domain, 0), "");
    assert_false(exists("guest-vda.s"));
    assert_int_equal(virSnapDomainSetMonitor(program.domain, monitor, NULL, 0), 0);
    assert_int_equal(take("s", "", DISK_ONLY), 0);
    assert_int_equal(virSnapDomainSetMonitor(program.domain, NULL, NULL, 0), 0);
    assert_int_equal(revert("s", 0), -1);
    assert_non_null(strstr(program.told, text));
    snapshot = snapshot_lookup(program.domain, "s");
    assert_int_equal(virDomainSnapshotDelete(snapshot, 0), -1);
    keep_error();
    assert_non_null(strstr(program.told, text));
    virDomainSnapshotFree(snapshot);
    assert_true(exists("guest-vda.s"));
    assert_true(runs());
}

static void the_programs_own_data_is_all_there_is(void **state)
{
    set_up(state, data_hooks);
    write_in_guest(root(), 2, 1);
    assert_int_equal(take("own", "", 0), 0);
    assert_int_equal(program.calls[CREATE_DATA], 1);
    write_in_guest(root(), 2, 2);
    assert_int_equal(revert("own", VIR_DOMAIN_SNAPSHOT_REVERT_RUNNING), 0);
    assert_int_equal(program.calls[REVERT_DATA], 1);
    assert_true(guest_reads(1));
    assert_false(guest_reads(2));
    snapshot_delete(program.domain, "own", 0);
    assert_int_equal(program.calls[DELETE_DATA], 1);
    assert_text(domain_list(program.domain, 0), "");
}

static void own_data_that_fails_leaves_the_tree_as_it_was(void **state)
{
    virDomainSnapshotPtr snapshot;

    set_up(state, data_hooks);
    program.failing = CREATE_DATA;
    assert_int_equal(take("s", "", 0), -1);
    assert_told("createData");
    /* What it has left is dropped. */
    assert_int_equal(program.calls[DELETE_DATA], 1);
    assert_text(domain_list(program.domain, 0), "");
    program.failing = NONE;
    assert_int_equal(take("one", "", 0), 0);
    assert_int_equal(take("two", "", 0), 0);
    program.failing = REVERT_DATA;
    assert_int_equal(revert("one", VIR_DOMAIN_SNAPSHOT_REVERT_RUNNING), -1);
    assert_told("revertData");
    assert_text(tree_text(program.domain), "one *two<one");
    program.failing = DELETE_DATA;
    snapshot = snapshot_lookup(program.domain, "two");
    assert_int_equal(virDomainSnapshotDelete(snapshot, 0), -1);
    keep_error();
    assert_told("deleteData");
    assert_text(tree_text(program.domain), "one *two<one");
    program.failing = NONE;
    assert_int_equal(virDomainSnapshotDelete(snapshot, 0), 0);
    virDomainSnapshotFree(snapshot);
    assert_text(tree_text(program.domain), "*one");
}

#define guest_test(function) cmocka_unit_test_setup_teardown(function, fixture_set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        guest_test(disks_are_switched_by_the_programs_hands),
        guest_test(memory_goes_through_the_programs_hands),
        guest_test(what_takes_long_is_told_and_can_be_stopped),
        guest_test(the_program_stops_and_starts_its_guest),
        guest_test(a_failure_is_told_and_leaves_all_as_it_was),
        guest_test(a_guest_that_cannot_be_resumed_is_mended_by_the_next_change),
        guest_test(a_guest_that_cannot_be_stopped_is_not_reverted),
        guest_test(a_guest_that_cannot_be_started_is_off_and_reverted),
        guest_test(a_definition_that_is_not_taken_in_is_stored),
        guest_test(a_guest_that_is_not_attached_is_noticed),
        guest_test(the_programs_own_data_is_all_there_is),
        guest_test(own_data_that_fails_leaves_the_tree_as_it_was),
    };

    return run_family("hooks", tests);
}
