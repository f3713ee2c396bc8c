/* The program's functions call the library, whatever it is doing: they are called at the end of a call, which
 * holds no lock then. A test that waits for itself is ended by SIGALRM. */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SECONDS = 60 };

/* What a function of the program's has, and what it saw when it was called. */
static struct program {
    struct fixture *fixture;
    virDomainPtr domain;  /* to be asked for its state, which the program's functions may know; or NULL */
    int calls;
    int answers;
} program;

/* Whether a domain can be defined, renamed and undefined now. */
static bool defines_and_undefines(virConnectPtr connection)
{
    virDomainPtr passing = virDomainDefineXML(
        connection,
        "<domain type='qemu'><name>passing</name><memory>1024</memory><os><type>hvm</type></os></domain>");
    bool is_done = passing && virDomainRename(passing, "past", 0) == 0 && virDomainUndefine(passing) == 0;

    if (passing)
        virDomainFree(passing);
    return is_done;
}

/* Asks for all that a lock of the library's may be in front of. */
static void call_back(void)
{
    virConnectPtr connection = virConnectOpen(program.fixture->uri);
    virDomainPtr other = connection ? virDomainLookupByName(connection, "other") : NULL;

    program.calls++;
    if (!other)
        return;
    program.answers += virConnectNumOfDefinedDomains(connection) >= 1 &&
                       virDomainSnapshotNum(other, 0) == 0 && virDomainIsActive(other) == 0 &&
                       defines_and_undefines(connection);
    if (program.domain)
        program.answers -= virDomainIsActive(program.domain) != 0;
    virDomainFree(other);
    virConnectClose(connection);
}

static void release(void *opaque)
{
    (void)opaque;
    call_back();
}

static void note_problem(void *opaque, const virSnapProblem *problem)
{
    (void)opaque;
    (void)problem;
    call_back();
}

/* Another domain, and "guest" with a function to be released. */
static virDomainPtr begin(void **state)
{
    const virSnapDomainCallbacks hooks = {.size = sizeof(hooks), .release = release};
    virDomainPtr domain;

    program = (struct program){.fixture = *state};
    alarm(SECONDS);
    virDomainFree(fixture_domain(*state, "other", 0));
    domain = fixture_domain(*state, "guest", 0);
    assert_int_equal(virSnapDomainSetCallbacks(domain, &hooks, NULL, 0), 0);
    return domain;
}

static void end(void)
{
    alarm(0);
    assert_int_equal(program.calls, 1);
    assert_int_equal(program.answers, 1);
}

static void when_it_is_replaced(void **state)
{
    virDomainPtr domain = begin(state);

    program.domain = domain;
    assert_int_equal(virSnapDomainSetCallbacks(domain, NULL, NULL, 0), 0);
    end();
    virDomainFree(domain);
}

static void when_its_domain_is_undefined(void **state)
{
    virDomainPtr domain = begin(state);

    assert_int_equal(virDomainUndefine(domain), 0);
    virDomainFree(domain);
    end();
}

static void when_the_last_connection_is_closed(void **state)
{
    virDomainPtr domain = begin(state);

    virDomainFree(domain);
    assert_int_equal(virConnectClose(program.fixture->connection), 0);
    program.fixture->connection = NULL;
    end();
}

/* Undefines a domain by a process of its own. */
static void undefine_elsewhere(const char *name)
{
    pid_t child = fork();
    int status;

    assert_true(child >= 0);
    if (child == 0) {
        virDomainPtr domain = virDomainLookupByName(program.fixture->connection, name);

        _exit(domain && virDomainUndefine(domain) == 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Leaves a definition that cannot be read. */
static void break_a_definition(void)
{
    char *path = format("%s/state/domain/broken.xml", program.fixture->root);
    FILE *stream = fopen(path, "w");

    assert_non_null(stream);
    fputs("<domain>", stream);
    fclose(stream);
    free(path);
}

static void when_another_process_has_undefined_its_domain(void **state)
{
    virDomainFree(begin(state));
    undefine_elsewhere("guest");
    assert_int_equal(virConnectNumOfDefinedDomains(program.fixture->connection), 1);
    end();
}

/* The same is found out by a connection that is being opened. */
static void when_a_connection_is_opened_after_that(void **state)
{
    virConnectPtr connection;

    virDomainFree(begin(state));
    undefine_elsewhere("guest");
    connection = virConnectOpen(program.fixture->uri);
    assert_non_null(connection);
    end();
    virConnectClose(connection);
}

/* A definition that cannot be read, told of by the connection that finds it. */
static void when_a_connection_finds_a_problem(void **state)
{
    virDomainPtr domain = begin(state);

    assert_int_equal(virSnapDomainSetCallbacks(domain, NULL, NULL, 0), 0);
    virDomainFree(domain);
    assert_int_equal(virConnectClose(program.fixture->connection), 0);
    program.calls = program.answers = 0;
    break_a_definition();
    virSnapSetProblemFunc(note_problem, NULL);
    program.fixture->connection = virConnectOpen(program.fixture->uri);
    virSnapSetProblemFunc(NULL, NULL);
    assert_non_null(program.fixture->connection);
    end();
}

static int ask_for_the_state(void *opaque)
{
    (void)opaque;
    virDomainFree(virDomainLookupByName(program.fixture->connection, "other"));
    return VIR_DOMAIN_SHUTOFF;
}

static void no_problem(void *opaque, const virSnapProblem *problem)
{
    (void)opaque;
    (void)problem;
    fail_msg("taken away, and told all the same");
}

/* A call within the call: what the outer one has found is told when that one has let its locks go. */
static void when_a_hook_calls_in_the_middle(void **state)
{
    const virSnapDomainCallbacks hooks = {.size = sizeof(hooks), .getState = ask_for_the_state};
    virDomainPtr domain = begin(state);

    virDomainFree(fixture_domain(*state, "third", 0));
    assert_int_equal(virSnapDomainSetCallbacks(domain, &hooks, NULL, 0), 0);
    program.calls = program.answers = 0;
    break_a_definition();
    undefine_elsewhere("third");
    virSnapSetProblemFunc(note_problem, NULL);
    assert_int_equal(virDomainRename(domain, "renamed", 0), 0);
    virSnapSetProblemFunc(NULL, NULL);
    end();
    virDomainFree(domain);
}

static int take_the_function_away(void *opaque)
{
    (void)opaque;
    virSnapSetProblemFunc(NULL, NULL);
    return VIR_DOMAIN_SHUTOFF;
}

static void when_it_is_taken_away_before_the_end(void **state)
{
    const virSnapDomainCallbacks hooks = {.size = sizeof(hooks), .getState = take_the_function_away};
    virDomainPtr domain = begin(state);

    virDomainFree(fixture_domain(*state, "third", 0));
    assert_int_equal(virSnapDomainSetCallbacks(domain, &hooks, NULL, 0), 0);
    break_a_definition();
    undefine_elsewhere("third");
    virSnapSetProblemFunc(no_problem, NULL);
    assert_int_equal(virDomainRename(domain, "renamed", 0), 0);
    end();
    virDomainFree(domain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(when_it_is_replaced),
        fixture_test(when_its_domain_is_undefined),
        fixture_test(when_the_last_connection_is_closed),
        fixture_test(when_another_process_has_undefined_its_domain),
        fixture_test(when_a_connection_is_opened_after_that),
        fixture_test(when_a_connection_finds_a_problem),
        fixture_test(when_a_hook_calls_in_the_middle),
        fixture_test(when_it_is_taken_away_before_the_end),
    };

    return run_family("callbacks", tests);
}
