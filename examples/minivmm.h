/* What the parts of minivmm know of each other. */
#ifndef MINIVMM_H
#define MINIVMM_H

#include <sys/types.h>

#include <virsnap.h>

enum { TEXT = 4096 };

/* One guest: what the hooks get. */
struct guest {
    virConnectPtr conn;
    virDomainPtr domain; /* NULL before one has come from another host */
    char monitor[TEXT];
    char own[TEXT];
    const char *attached; /* where the library finds the monitor: MINIVMM_MONITOR, if it is set */
    const char *agent; /* and the guest agent: MINIVMM_AGENT, if it is set */
    pid_t pid; /* 0 while it is off */
    int process; /* a descriptor of that process */
    int is_paused; /* in a move: it was, and stays so */
    int is_awaited; /* in a move: its memory comes from the other host */
};

/* minivmm.c: the guest's process. */
int start(void *opaque, const char *xml, unsigned int flags);
int stop(void *opaque);
int is_alive(struct guest *guest);
int set_hooks(struct guest *guest);
void pause_for_a_moment(void);
/* Prints `ok`, or `error:` with the library's last error. */
int answer(int failed);

/* minivmm_qmp.c: commands of the program's own to QEMU. */
int connect_to(const char *path);
/* Sends {"execute": COMMAND, "arguments": ARGUMENTS}; whether it worked. `said` gets the answer. */
int qmp(const char *path, const char *command, const char *arguments, char *said, size_t size);

/* minivmm_move.c: the domain moves to another minivmm, or comes from one. Whether the line was a
 * command of that. */
int move_command(struct guest *guest, const char *line);

#endif
