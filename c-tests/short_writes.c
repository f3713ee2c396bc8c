/* Has the kernel write less than it is asked to: tools/crashpoints.py runs an operation under this program.
 *
 *   short_writes LOG DIR NTH PROGRAM [ARGUMENT...]
 *
 * Runs PROGRAM. Of the writes of two bytes and more to files below DIR, those of all its processes counted
 * together, the NTH takes half of its bytes alone and says so; with `NTH+` each from there on does; with 0
 * none. What was written is really written: the call is made, with a smaller length. The number of such writes
 * goes to LOG, then one line for each that was cut short. Ends as PROGRAM does.
 *
 * x86-64 only: the length of a call is changed in its registers. */
#include <errno.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    BROKEN = 125,
    OPTIONS = PTRACE_O_TRACESECCOMP | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |
              PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL,
    MOST_THREADS = 256,
};

/* A thread whose call was cut short, and what its registers were. */
struct cut {
    pid_t thread;
    struct user_regs_struct registers;
};

static FILE *log_file;
static const char *directory;
static unsigned long nth, seen;
static bool from_then_on;
static struct cut cuts[MOST_THREADS];

static void die(const char *what)
{
    fprintf(stderr, "short_writes: %s: %s\n", what, strerror(errno));
    exit(BROKEN);
}

/* Stops at each kind of write, and lets all other calls pass at full speed. */
static void filter_writes(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 5, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pwrite64, 4, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_writev, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pwritev, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pwritev2, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE),
    };
    struct sock_fprog filter = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0)
        die("seccomp");
}

static bool is_below_directory(pid_t thread, unsigned long long fd, char *path, size_t size)
{
    char link[64];
    size_t length = strlen(directory);
    ssize_t got;

    snprintf(link, sizeof(link), "/proc/%d/fd/%llu", (int)thread, fd);
    got = readlink(link, path, size - 1);
    if (got < 0)
        return false;
    path[got] = '\0';
    return strncmp(path, directory, length) == 0 && path[length] == '/';
}


static void get(pid_t thread, unsigned long address, void *bytes, size_t length)
{
    struct iovec here = {.iov_base = bytes, .iov_len = length};
    struct iovec there = {.iov_base = (void *)address, .iov_len = length};

    if (process_vm_readv(thread, &here, 1, &there, 1, 0) != (ssize_t)length)
        die("process_vm_readv");
}

/* Makes the call that is about to begin one of half the length, or answers false if it is too small for that. */
static bool halve(pid_t thread, struct user_regs_struct *registers)
{
    bool is_plain = registers->orig_rax == SYS_write || registers->orig_rax == SYS_pwrite64;
    struct iovec first = {.iov_base = (void *)registers->rsi, .iov_len = registers->rdx};

    if (!is_plain) {
        if (registers->rdx == 0)
            return false;
        get(thread, registers->rsi, &first, sizeof(first));
        /* The first of several buffers alone is short enough. */
        if (registers->rdx > 1 && first.iov_len > 0) {
            registers->rdx = 1;
            return true;
        }
    }
    if (first.iov_len < 2)
        return false;
    /* One buffer: the call without a vector, which needs no change of the program's memory. */
    if (registers->orig_rax == SYS_writev)
        registers->orig_rax = SYS_write;
    else if (!is_plain)
        registers->orig_rax = (long long)registers->r10 == -1 ? SYS_write : SYS_pwrite64;
    registers->rsi = (unsigned long)first.iov_base;
    registers->rdx = first.iov_len / 2;
    return true;
}

static struct cut *cut_of(pid_t thread)
{
    for (size_t i = 0; i < MOST_THREADS; i++)
        if (cuts[i].thread == thread)
            return &cuts[i];
    return NULL;
}

/* At the beginning of a write. Answers whether the thread shall stop again at its end. */
static bool meet(pid_t thread)
{
    struct user_regs_struct registers, before;
    char path[PATH_MAX];
    struct cut *cut;

    if (ptrace(PTRACE_GETREGS, thread, NULL, &registers) != 0)
        return false;
    before = registers;
    if (!is_below_directory(thread, registers.rdi, path, sizeof(path)) || !halve(thread, &registers))
        return false;
    seen++;
    if (nth == 0 || seen < nth || (seen > nth && !from_then_on))
        return false;
    cut = cut_of(0);
    if (!cut)
        die("too many threads");
    *cut = (struct cut){.thread = thread, .registers = before};
    if (ptrace(PTRACE_SETREGS, thread, NULL, &registers) != 0)
        die("ptrace");
    fprintf(log_file, "cut %s\n", path);
    return true;
}

/* At the end of a call that was cut short: the program finds its registers as it left them. */
static void give_back(pid_t thread)
{
    struct cut *cut = cut_of(thread);
    struct user_regs_struct registers;

    if (!cut)
        return;
    if (ptrace(PTRACE_GETREGS, thread, NULL, &registers) == 0) {
        cut->registers.rax = registers.rax;
        cut->registers.rip = registers.rip;
        cut->registers.rcx = registers.rcx;
        cut->registers.r11 = registers.r11;
        ptrace(PTRACE_SETREGS, thread, NULL, &cut->registers);
    }
    cut->thread = 0;
}

static int watch(pid_t program)
{
    int answer = BROKEN;

    for (;;) {
        int status, event, signal_number;
        pid_t thread = waitpid(-1, &status, __WALL);

        if (thread < 0)
            return answer;
        if (WIFEXITED(status) || WIFSIGNALED(status)) {
            if (thread == program)
                answer = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
            continue;
        }
        event = status >> 16;
        signal_number = WSTOPSIG(status);
        if (event == PTRACE_EVENT_SECCOMP) {
            ptrace(meet(thread) ? PTRACE_SYSCALL : PTRACE_CONT, thread, NULL, NULL);
            continue;
        }
        if (signal_number == (SIGTRAP | 0x80))
            give_back(thread);
        /* A new thread begins with a stop of its own; what is no signal for the program ends here. */
        if (event != 0 || signal_number == (SIGTRAP | 0x80) || signal_number == SIGTRAP ||
            signal_number == SIGSTOP)
            signal_number = 0;
        ptrace(PTRACE_CONT, thread, NULL, (void *)(long)signal_number);
    }
}

int main(int argc, char **argv)
{
    char *end = NULL;
    pid_t program;
    int status;

    if (argc < 5) {
        fprintf(stderr, "usage: short_writes LOG DIR NTH[+] PROGRAM [ARGUMENT...]\n");
        return BROKEN;
    }
    log_file = fopen(argv[1], "we");
    if (!log_file)
        die(argv[1]);
    directory = argv[2];
    nth = strtoul(argv[3], &end, 10);
    from_then_on = strcmp(end, "+") == 0;
    program = fork();
    if (program == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
            die("ptrace");
        raise(SIGSTOP);
        filter_writes();
        execvp(argv[4], argv + 4);
        die(argv[4]);
    }
    if (program < 0 || waitpid(program, &status, 0) != program ||
        ptrace(PTRACE_SETOPTIONS, program, NULL, (void *)(long)OPTIONS) != 0)
        die("ptrace");
    ptrace(PTRACE_CONT, program, NULL, NULL);
    status = watch(program);
    fprintf(log_file, "writes %lu\n", seen);
    fclose(log_file);
    return status;
}
