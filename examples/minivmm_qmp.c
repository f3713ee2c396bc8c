/* A QMP client of one command: enough for a manager's own part in a migration. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "minivmm.h"

int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int end = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    if (end >= 0 && connect(end, (struct sockaddr *)&address, sizeof(address)) < 0) {
        close(end);
        return -1;
    }
    return end;
}

/* Reads lines up to an answer: events come between. */
static int answered(FILE *lines, char *said, size_t size)
{
    while (fgets(said, (int)size, lines)) {
        if (strncmp(said, "{\"return\"", 9) == 0)
            return 1;
        if (strncmp(said, "{\"error\"", 8) == 0)
            return 0;
    }
    return 0;
}

int qmp(const char *path, const char *command, const char *arguments, char *said, size_t size)
{
    int end = connect_to(path);
    FILE *lines = end < 0 ? NULL : fdopen(end, "r");
    int worked = 0;

    said[0] = 0;
    if (lines && fgets(said, (int)size, lines)) {
        dprintf(end, "{\"execute\": \"qmp_capabilities\"}\n");
        if (answered(lines, said, size)) {
            dprintf(end, "{\"execute\": \"%s\", \"arguments\": {%s}}\n", command, arguments);
            worked = answered(lines, said, size);
        }
    }
    if (lines)
        fclose(lines);
    return worked;
}
