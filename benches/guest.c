/* A real QEMU, told what to do by the benchmark itself. */
#include "guest.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "images.h"

enum { START_SECONDS = 30 };

static void run_qemu(const struct guest *guest, const char *image)
{
    char library[PATH_SIZE + 64];
    char own[PATH_SIZE + 64];
    char disk[PATH_SIZE + 128];
    char *arguments[] = {
        "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none",
        "-machine", "pc-i440fx-7.2,usb=off", "-accel", "tcg", "-m", "32", "-qmp", library, "-qmp", own,
        "-blockdev", disk, "-device", "virtio-blk-pci,drive=disk", NULL,
    };

    snprintf(library, sizeof(library), "unix:%s,server=on,wait=off", guest->library_socket);
    snprintf(own, sizeof(own), "unix:%s,server=on,wait=off", guest->own_socket);
    snprintf(disk, sizeof(disk), "driver=qcow2,node-name=disk,file.driver=file,file.filename=%s", image);
    /* Standard output has the figures. */
    dup2(STDERR_FILENO, STDOUT_FILENO);
    /* However this process ends. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execvp(arguments[0], arguments);
    _exit(127);
}

static int connected(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int end = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    expect(end >= 0 && strlen(path) < sizeof(address.sun_path), path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (connect(end, (struct sockaddr *)&address, sizeof(address)) == 0)
        return end;
    close(end);
    return -1;
}

void start_guest(struct guest *guest, const struct run *run, char suffix)
{
    static const struct timespec moment = {0, 10 * 1000 * 1000};
    char image[PATH_SIZE];

    image_path(image, run, suffix, 0);
    snprintf(guest->library_socket, PATH_SIZE, "%s/%c.qmp", run->images, suffix);
    snprintf(guest->own_socket, PATH_SIZE, "%s/%c.own", run->images, suffix);
    unlink(guest->library_socket);
    unlink(guest->own_socket);
    guest->pid = fork();
    if (guest->pid == 0)
        run_qemu(guest, image);
    expect(guest->pid > 0, "fork");
    guest->monitor = -1;
    for (int i = 0; guest->monitor < 0 && i < START_SECONDS * 100; i++) {
        nanosleep(&moment, NULL);
        expect(waitpid(guest->pid, NULL, WNOHANG) == 0, "QEMU ended at once");
        guest->monitor = connected(guest->own_socket);
    }
    expect(guest->monitor >= 0, guest->own_socket);
    guest->lines = must_have(fdopen(guest->monitor, "r"));
    guest->heard[0] = 0;
    hear(guest, "\"QMP\"");
    command(guest, "qmp_capabilities", "");
}

void stop_guest(struct guest *guest)
{
    fclose(guest->lines);
    kill(guest->pid, SIGKILL);
    expect(waitpid(guest->pid, NULL, 0) == guest->pid, "the guest's end");
    unlink(guest->library_socket);
    unlink(guest->own_socket);
}

void hear(struct guest *guest, const char *text)
{
    size_t length = strlen(guest->heard);

    while (!strstr(guest->heard, text)) {
        expect(length + 1 < HEARD_SIZE, "the monitor says too much");
        expect(fgets(guest->heard + length, (int)(HEARD_SIZE - length), guest->lines), text);
        expect(!strstr(guest->heard, "{\"error\""), guest->heard);
        length += strlen(guest->heard + length);
    }
}

void command(struct guest *guest, const char *name, const char *arguments)
{
    guest->heard[0] = 0;
    expect(dprintf(guest->monitor, "{\"execute\":\"%s\",\"arguments\":{%s}}\n", name, arguments) > 0, name);
    hear(guest, "{\"return\"");
}

void command_line(struct guest *guest, const char *line)
{
    char arguments[256];

    snprintf(arguments, sizeof(arguments), "\"command-line\":\"%s\"", line);
    command(guest, "human-monitor-command", arguments);
    expect(strstr(guest->heard, "{\"return\": \"\"}"), guest->heard);
}
