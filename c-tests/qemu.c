/* A real QEMU for tests: started for a definition, asked, killed. */
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

#include "qemu.h"

/* The guest that this process has started. */
static pid_t started;

static void give_up(const char *what)
{
    if (started > 0)
        kill(started, SIGKILL);
    fprintf(stderr, "guest: %s\n", what);
    exit(2);
}

void source_path(const char *definition, char letter, char *path)
{
    static const char mark[] = "<source file='";
    char target[64];
    const char *end;
    const char *source = NULL;

    path[0] = '\0';
    snprintf(target, sizeof(target), "<target dev='vd%c'", letter);
    end = strstr(definition, target);
    for (const char *at = definition; end && (at = strstr(at, mark)) && at < end; at++)
        source = at + sizeof(mark) - 1;
    if (source)
        snprintf(path, GUEST_PATH_SIZE, "%.*s", (int)strcspn(source, "'"), source);
}

enum { ANSWER_SIZE = 1 << 18, START_SECONDS = 30 };

void run_path(char *path, const char *directory, const char *name)
{
    if (snprintf(path, GUEST_PATH_SIZE, "%s.run%s%s", directory, *name ? "/" : "", name) >= GUEST_PATH_SIZE)
        give_up("path");
}

void pause_for_a_moment(void)
{
    struct timespec moment = {0, 10 * 1000 * 1000};

    nanosleep(&moment, NULL);
}

/* The guest's process, 0 if there is none. One that has ended may wait for its parent for ever. */
pid_t guest_process(const char *directory)
{
    char path[GUEST_PATH_SIZE];
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
    char path[GUEST_PATH_SIZE];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int own = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    run_path(path, directory, "own");
    if (own < 0 || strlen(path) >= sizeof(address.sun_path))
        give_up(path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (connect(own, (struct sockaddr *)&address, sizeof(address)) == 0)
        return own;
    close(own);
    return -1;
}

/* The answer to one command, in a connection of its own; events are no answers. */
char *ask(const char *directory, const char *command)
{
    char *answer = malloc(ANSWER_SIZE);
    int own = connect_to_own(directory);
    FILE *stream = own < 0 ? NULL : fdopen(own, "r");
    const char *commands[] = {"{\"execute\":\"qmp_capabilities\"}", command};

    if (!answer || !stream || !fgets(answer, ANSWER_SIZE, stream))
        give_up("own monitor");
    for (size_t i = 0; i < 2; i++) {
        /* Past the stream, which may hold an event that is not read yet. */
        if (dprintf(own, "%s\n", commands[i]) < 0)
            give_up("own monitor");
        do
            if (!fgets(answer, ANSWER_SIZE, stream))
                give_up("own monitor");
        while (strstr(answer, "\"event\""));
    }
    fclose(stream);
    if (strstr(answer, "\"error\""))
        fprintf(stderr, "sweep: %s: %s", command, answer);
    return answer;
}

char *ask_human(const char *directory, const char *line)
{
    char command[16384];

    snprintf(command, sizeof(command),
             "{\"execute\":\"human-monitor-command\",\"arguments\":{\"command-line\":\"%s\"}}", line);
    return ask(directory, command);
}

/* What qemu-io says in the guest's process, as the disk's device; QEMU prints it. */
void device_io(const char *directory, char letter, const char *command, char *said, size_t size)
{
    char path[GUEST_PATH_SIZE];
    char line[512];
    struct stat before;
    FILE *file;
    size_t length;

    run_path(path, directory, "said");
    if (stat(path, &before) != 0)
        give_up(path);
    snprintf(line, sizeof(line), "qemu-io -d /machine/peripheral/vd%c/virtio-backend \\\"%s\\\"", letter,
             command);
    free(ask_human(directory, line));
    file = fopen(path, "r");
    if (!file || fseek(file, before.st_size, SEEK_SET) != 0)
        give_up(path);
    length = fread(said, 1, size - 1, file);
    said[length] = '\0';
    fclose(file);
}

void write_in_guest(const char *directory, int disks, int pattern)
{
    for (char letter = 'a'; letter < 'a' + disks; letter++) {
        char command[64];
        char said[16384];

        snprintf(command, sizeof(command), "write -P %d %dk 64k", pattern, pattern * 64);
        device_io(directory, letter, command, said, sizeof(said));
        if (!strstr(said, "wrote 65536/65536"))
            give_up(said);
        device_io(directory, letter, "flush", said, sizeof(said));
    }
}

static void run_guest(const char *directory, const char *definition, int word)
{
    static const char *const fixed[] = {"qemu-system-x86_64", "-nodefaults", "-display", "none", "-accel",
                                        "tcg", "-m", "16", "-S", "-qmp", NULL, "-qmp", NULL, "-device", NULL};
    enum { FIXED = sizeof(fixed) / sizeof(fixed[0]), MOST = FIXED + 9 };
    char texts[MOST][GUEST_PATH_SIZE + 128];
    char *list[MOST];
    char path[GUEST_PATH_SIZE];
    size_t count = FIXED;
    int said;

    for (size_t i = 0; i < FIXED; i++)
        snprintf(texts[i], sizeof(texts[i]), "%s", fixed[i] ? fixed[i] : "");
    run_path(path, directory, "qmp");
    snprintf(texts[10], sizeof(texts[10]), "unix:%s,server=on,wait=off", path);
    run_path(path, directory, "own");
    snprintf(texts[12], sizeof(texts[12]), "unix:%s,server=on,wait=off", path);
    snprintf(texts[14], sizeof(texts[14]), "loader,addr=" GUEST_WORD ",data=%d,data-len=4", word);
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
    char path[GUEST_PATH_SIZE];
    pid_t pid;
    FILE *file;
    int own = -1;

    run_path(path, directory, "");
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        give_up(path);
    fflush(NULL);
    pid = fork();
    if (pid == 0)
        run_guest(directory, definition, word);
    started = pid;
    run_path(path, directory, "pid");
    file = fopen(path, "w");
    if (pid < 0 || !file || fprintf(file, "%d\n", (int)pid) < 0 || fclose(file) != 0)
        give_up(path);
    for (int i = 0; own < 0 && i < START_SECONDS * 100; i++) {
        pause_for_a_moment();
        if (waitpid(pid, NULL, WNOHANG) == pid)
            give_up("QEMU ended at once");
        own = connect_to_own(directory);
    }
    if (own < 0)
        give_up("QEMU does not answer");
    close(own);
    free(ask(directory, "{\"execute\":\"cont\"}"));
}

void end_guest(const char *directory)
{
    static const char *const names[] = {"pid", "qmp", "own", "said", ""};
    pid_t pid = guest_process(directory);

    started = 0;
    if (pid)
        kill(pid, SIGKILL);
    while (guest_process(directory)) {
        waitpid(pid, NULL, WNOHANG);
        pause_for_a_moment();
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char path[GUEST_PATH_SIZE];

        run_path(path, directory, names[i]);
        remove(path);
    }
}
