/* Running guests in the crash sweep: a real QEMU beside the operation, which no fault hits.
 *
 * `begin` starts it on the images as they are, `end` kills it. It has no kernel, two disks, and at
 * WORD a number that tells from which start its memory is. What belongs to the process stands in
 * DIR.run, out of the state that is copied. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sweep.h"

#define WORD "0x500000"
#define FORMAT_OF_ANSWER "\r\n\"\\"

enum { ANSWER_SIZE = 1 << 18, START_SECONDS = 30 };

static void run_path(char *path, const char *directory, const char *name)
{
    if (snprintf(path, PATH_SIZE, "%s.run%s%s", directory, *name ? "/" : "", name) >= PATH_SIZE)
        die("path");
}

static void pause_for_a_moment(void)
{
    struct timespec moment = {0, 10 * 1000 * 1000};

    nanosleep(&moment, NULL);
}

/* The guest's process, 0 if there is none. One that has ended may wait for its parent for ever. */
static pid_t guest_process(const char *directory)
{
    char path[PATH_SIZE];
    char state = 'Z';
    int pid = 0;
    FILE *file;

    run_path(path, directory, "pid");
    file = fopen(path, "r");
    if (!file)
        return 0;
    if (fscanf(file, "%d", &pid) != 1)
        pid = 0;
    fclose(file);
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    file = pid ? fopen(path, "r") : NULL;
    if (!file)
        return 0;
    if (fscanf(file, "%*d %*s %c", &state) != 1)
        state = 'Z';
    fclose(file);
    return state == 'Z' ? 0 : pid;
}

static int connect_to_own(const char *directory)
{
    char path[PATH_SIZE];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int own = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    run_path(path, directory, "own");
    if (own < 0 || strlen(path) >= sizeof(address.sun_path))
        die(path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (connect(own, (struct sockaddr *)&address, sizeof(address)) == 0)
        return own;
    close(own);
    return -1;
}

/* The answer to one command, in a connection of its own; events are no answers. */
static char *ask(const char *directory, const char *command)
{
    char *answer = malloc(ANSWER_SIZE);
    int own = connect_to_own(directory);
    FILE *stream = own < 0 ? NULL : fdopen(own, "r+");
    const char *commands[] = {"{\"execute\":\"qmp_capabilities\"}", command};

    if (!answer || !stream || !fgets(answer, ANSWER_SIZE, stream))
        die("own monitor");
    for (size_t i = 0; i < 2; i++) {
        if (fprintf(stream, "%s\n", commands[i]) < 0 || fflush(stream) != 0)
            die("own monitor");
        do
            if (!fgets(answer, ANSWER_SIZE, stream))
                die("own monitor");
        while (strstr(answer, "\"event\""));
    }
    fclose(stream);
    if (strstr(answer, "\"error\""))
        fprintf(stderr, "sweep: %s: %s", command, answer);
    return answer;
}

static char *ask_human(const char *directory, const char *line)
{
    char command[XML_SIZE];

    snprintf(command, sizeof(command),
             "{\"execute\":\"human-monitor-command\",\"arguments\":{\"command-line\":\"%s\"}}", line);
    return ask(directory, command);
}

/* What qemu-io says in the guest's process, as the disk's device; QEMU prints it. */
static void device_io(const char *directory, char letter, const char *command, char *said, size_t size)
{
    char path[PATH_SIZE];
    char line[512];
    struct stat before;
    FILE *file;
    size_t length;

    run_path(path, directory, "said");
    if (stat(path, &before) != 0)
        die(path);
    snprintf(line, sizeof(line), "qemu-io -d /machine/peripheral/vd%c/virtio-backend \\\"%s\\\"", letter,
             command);
    free(ask_human(directory, line));
    file = fopen(path, "r");
    if (!file || fseek(file, before.st_size, SEEK_SET) != 0)
        die(path);
    length = fread(said, 1, size - 1, file);
    said[length] = '\0';
    fclose(file);
}

void write_in_guest(const char *directory, int disks, int pattern)
{
    for (char letter = 'a'; letter < 'a' + disks; letter++) {
        char command[64];
        char said[XML_SIZE];

        snprintf(command, sizeof(command), "write -P %d %dk 64k", pattern, pattern * 64);
        device_io(directory, letter, command, said, sizeof(said));
        if (!strstr(said, "wrote 65536/65536"))
            die(said);
        device_io(directory, letter, "flush", said, sizeof(said));
    }
}

static void run_guest(const char *directory, const char *definition, int word)
{
    static const char *const fixed[] = {"qemu-system-x86_64", "-nodefaults", "-display", "none", "-accel",
                                        "tcg", "-m", "16", "-S", "-qmp", NULL, "-qmp", NULL, "-device", NULL};
    enum { FIXED = sizeof(fixed) / sizeof(fixed[0]), MOST = FIXED + 9 };
    char texts[MOST][PATH_SIZE + 128];
    char *list[MOST];
    char path[PATH_SIZE];
    size_t count = FIXED;
    int said;

    for (size_t i = 0; i < FIXED; i++)
        snprintf(texts[i], sizeof(texts[i]), "%s", fixed[i] ? fixed[i] : "");
    run_path(path, directory, "qmp");
    snprintf(texts[10], sizeof(texts[10]), "unix:%s,server=on,wait=off", path);
    run_path(path, directory, "own");
    snprintf(texts[12], sizeof(texts[12]), "unix:%s,server=on,wait=off", path);
    snprintf(texts[14], sizeof(texts[14]), "loader,addr=" WORD ",data=%d,data-len=4", word);
    for (char letter = 'a'; letter <= 'b'; letter++) {
        source_path(definition, letter, path);
        if (!path[0])
            continue;
        snprintf(texts[count++], sizeof(texts[0]), "-blockdev");
        snprintf(texts[count++], sizeof(texts[0]),
                 "driver=qcow2,node-name=disk%c,file.driver=file,file.filename=%s", letter, path);
        snprintf(texts[count++], sizeof(texts[0]), "-device");
        snprintf(texts[count++], sizeof(texts[0]), "virtio-blk-pci,drive=disk%c,id=vd%c", letter, letter);
    }
    for (size_t i = 0; i < count; i++)
        list[i] = texts[i];
    list[count] = NULL;
    run_path(path, directory, "said");
    said = open(path, O_CREAT | O_TRUNC | O_RDWR | O_APPEND, 0600);
    if (said < 0 || dup2(said, STDOUT_FILENO) < 0 || dup2(said, STDERR_FILENO) < 0)
        _exit(127);
    close(STDIN_FILENO);
    open("/dev/null", O_RDONLY);
    setsid();
    execvp(list[0], list);
    _exit(127);
}

void begin_guest(const char *directory, const char *definition, int word)
{
    char path[PATH_SIZE];
    pid_t pid;
    FILE *file;
    int own = -1;

    run_path(path, directory, "");
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        die(path);
    fflush(NULL);
    pid = fork();
    if (pid == 0)
        run_guest(directory, definition, word);
    run_path(path, directory, "pid");
    file = fopen(path, "w");
    if (pid < 0 || !file || fprintf(file, "%d\n", (int)pid) < 0 || fclose(file) != 0)
        die(path);
    for (int i = 0; own < 0 && i < START_SECONDS * 100; i++) {
        pause_for_a_moment();
        if (waitpid(pid, NULL, WNOHANG) == pid)
            die("QEMU ended at once");
        own = connect_to_own(directory);
    }
    if (own < 0)
        die("QEMU does not answer");
    close(own);
    free(ask(directory, "{\"execute\":\"cont\"}"));
}

void end_guest(const char *directory)
{
    static const char *const names[] = {"pid", "qmp", "own", "said", ""};
    pid_t pid = guest_process(directory);

    if (pid)
        kill(pid, SIGKILL);
    while (guest_process(directory)) {
        waitpid(pid, NULL, WNOHANG);
        pause_for_a_moment();
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char path[PATH_SIZE];

        run_path(path, directory, names[i]);
        remove(path);
    }
}

void attach_guest(virDomainPtr domain, const char *directory)
{
    char path[PATH_SIZE];

    run_path(path, directory, "qmp");
    if (guest_process(directory) && virSnapDomainSetMonitor(domain, path, NULL, 0) != 0)
        die("attach");
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
    char *nodes = ask(directory, "{\"execute\":\"query-named-block-nodes\",\"arguments\":{\"flat\":true}}");
    char *jobs = ask(directory, "{\"execute\":\"query-jobs\"}");
    int count = 0;

    for (const char *at = nodes; (at = strstr(at, mark)); at++)
        count++;
    printf("guest nodes %d\n", count);
    if (!strstr(jobs, "\"return\": []"))
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
    printf("guest status %.*s\n", found ? (int)strcspn(found + 11, FORMAT_OF_ANSWER) : 0,
           found ? found + 11 : "");
    free(answer);
    answer = ask_human(directory, "xp /1xw " WORD);
    found = strstr(answer, ": 0x");
    printf("guest word %.*s\n", found ? (int)strcspn(found + 2, FORMAT_OF_ANSWER) : 0,
           found ? found + 2 : "");
    free(answer);
    for (char letter = 'a'; letter <= 'b'; letter++)
        print_disk(directory, letter);
    print_nodes(directory);
}
