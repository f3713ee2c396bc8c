/* Running guests in the crash sweep: a real QEMU beside the operation, which no fault hits.
 *
 * `begin` starts it on the images as they are, `end` kills it. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "qemu.h"
#include "sweep.h"

#define ENDS_OF_WORDS "\r\n\"\\"

void attach_guest(virDomainPtr domain, const char *directory)
{
    char path[PATH_SIZE];

    run_path(path, directory, "qmp");
    /* One that was told to end may take a moment. */
    for (int i = 0; i < 500 && guest_process(directory); i++) {
        if (virSnapDomainSetMonitor(domain, path, NULL, 0) == 0)
            return;
        pause_for_a_moment();
    }
    if (guest_process(directory))
        die("attach");
}

void look_before_attaching(virDomainPtr domain, const char *directory)
{
    char *status = guest_process(directory) ? ask(directory, "{\"execute\":\"query-status\"}") : NULL;

    /* With its memory it has given its images away: nobody could see that it has them. */
    if (status && !strstr(status, "postmigrate") && !strstr(status, "finish-migrate"))
        virDomainSnapshotNum(domain, 0);
    free(status);
}

static bool has_ended(const char *directory)
{
    for (int i = 0; i < 500 && guest_process(directory); i++)
        pause_for_a_moment();
    return !guest_process(directory);
}

/* Looks in a process of its own, which prints to the file. Answers how that ended. */
static int look_apart(int (*look)(void), FILE *output)
{
    int status;
    pid_t looker = fork();

    if (looker == 0) {
        if (dup2(fileno(output), STDOUT_FILENO) < 0)
            _exit(BROKEN);
        exit(look());
    }
    if (looker < 0 || waitpid(looker, &status, 0) != looker)
        die("fork");
    return WIFEXITED(status) ? WEXITSTATUS(status) : BROKEN;
}

int look_at_what_is_left(int (*look)(void), const char *directory)
{
    bool had_guest = guest_process(directory) != 0;
    FILE *output = tmpfile();
    int answer, letter;

    if (!output)
        die("tmpfile");
    answer = look_apart(look, output);
    if (answer == BROKEN && had_guest && has_ended(directory)) {
        rewind(output);
        if (ftruncate(fileno(output), 0) != 0)
            die("ftruncate");
        answer = look_apart(look, output);
    }
    rewind(output);
    while ((letter = getc(output)) != EOF)
        putchar(letter);
    fclose(output);
    return answer;
}

void send_guest_away(const char *directory)
{
    char *status = ask(directory, "{\"execute\":\"migrate\",\"arguments\":{\"uri\":\"exec:cat >/dev/null\"}}");

    while (!strstr(status, "\"postmigrate\"")) {
        free(status);
        pause_for_a_moment();
        status = ask(directory, "{\"execute\":\"query-status\"}");
    }
    free(status);
}

static void print_disk(const char *directory, char letter)
{
    for (int place = 0; place < 8; place++) {
        char command[64];
        char said[XML_SIZE];

        snprintf(command, sizeof(command), "read -v %dk 16", place * 64);
        device_io(directory, letter, command, said, sizeof(said));
        printf("guest vd%c %.*s\n", letter, (int)strcspn(said, "\r\n"), said);
    }
}

/* What the library has added to the guest's process and not taken back. */
static void print_nodes(const char *directory)
{
    static const char mark[] = "\"node-name\": \"virsnap-";
    static const char status[] = "\"status\": \"";
    char *nodes = ask(directory, "{\"execute\":\"query-named-block-nodes\",\"arguments\":{\"flat\":true}}");
    char *jobs = ask(directory, "{\"execute\":\"query-jobs\"}");
    int count = 0;

    for (const char *at = nodes; (at = strstr(at, mark)); at++)
        count++;
    printf("guest nodes %d\n", count);
    /* One that is concluded is in nobody's way, and dismissed by the next change. */
    for (const char *at = jobs; (at = strstr(at, status)); at += sizeof(status))
        if (strncmp(at + sizeof(status) - 1, "concluded", 9) != 0)
            printf("litter job\n");
    free(nodes);
    free(jobs);
}

void print_guest(virDomainPtr domain, const char *directory)
{
    char said[XML_SIZE];
    char *answer;
    const char *found;
    int state = -1;

    if (virDomainGetState(domain, &state, NULL, 0) != 0)
        die("state");
    printf("guest state %d\n", state);
    if (!guest_process(directory))
        return;
    for (char letter = 'a'; letter <= 'b'; letter++)
        device_io(directory, letter, "flush", said, sizeof(said));
    answer = ask(directory, "{\"execute\":\"query-status\"}");
    found = strstr(answer, "\"status\": \"");
    printf("guest status %.*s\n", found ? (int)strcspn(found + 11, ENDS_OF_WORDS) : 0,
           found ? found + 11 : "");
    free(answer);
    answer = ask_human(directory, "xp /1xw " GUEST_WORD);
    found = strstr(answer, ": 0x");
    printf("guest word %.*s\n", found ? (int)strcspn(found + 2, ENDS_OF_WORDS) : 0,
           found ? found + 2 : "");
    free(answer);
    for (char letter = 'a'; letter <= 'b'; letter++)
        print_disk(directory, letter);
    print_nodes(directory);
}
