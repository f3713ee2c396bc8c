/* Images looked at and written by qemu-img and qemu-io. */
#include "images.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LONGEST_OUTPUT = 65536 };

/* Everything until the end; the caller frees it. */
static char *read_all(int descriptor)
{
    char *text = calloc(1, LONGEST_OUTPUT);
    size_t length = 0;
    ssize_t got;

    assert_non_null(text);
    while ((got = read(descriptor, text + length, LONGEST_OUTPUT - 1 - length)) > 0)
        length += (size_t)got;
    assert_int_equal(got, 0);
    return text;
}

int run_program(const char *const *words, char **output)
{
    int ends[2];
    int status;
    pid_t child;

    assert_int_equal(pipe(ends), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        execvp(words[0], (char *const *)words);
        _exit(127);
    }
    close(ends[1]);
    *output = read_all(ends[0]);
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The table has two lines of headings; the second column of the others is the name. */
char *image_snapshots(const char *path)
{
    const char *const words[] = {"qemu-img", "snapshot", "-l", path, NULL};
    char *names = format("%s", "");
    char *output;
    char *rest = NULL;
    int line = 0;

    assert_int_equal(run_program(words, &output), 0);
    for (char *row = strtok_r(output, "\n", &rest); row; row = strtok_r(NULL, "\n", &rest)) {
        char name[256];
        char *longer;

        if (line++ < 2)
            continue;
        assert_int_equal(sscanf(row, "%*s %255s", name), 1);
        longer = format("%s%s%s", names, names[0] ? " " : "", name);
        free(names);
        names = longer;
    }
    free(output);
    return names;
}

void image_snapshot_create(const char *path, const char *name)
{
    const char *const arguments[] = {"snapshot", "-c", name, path, NULL};

    assert_int_equal(qemu_img(arguments), 0);
}

void image_snapshot_delete(const char *path, const char *name)
{
    const char *const arguments[] = {"snapshot", "-d", name, path, NULL};

    assert_int_equal(qemu_img(arguments), 0);
}

static int qemu_io(const char *path, const char *command)
{
    const char *const words[] = {"qemu-io", "-f", "qcow2", "-c", command, path, NULL};
    char *output;
    int status = run_program(words, &output);

    free(output);
    return status;
}

void image_write(const char *path, unsigned char byte)
{
    char *command = format("write -P %d 0 64k", byte);

    assert_int_equal(qemu_io(path, command), 0);
    free(command);
}

bool image_holds(const char *path, unsigned char byte)
{
    char *command = format("read -P %d 0 64k", byte);
    int status = qemu_io(path, command);

    free(command);
    assert_in_range(status, 0, 1);
    return status == 0;
}
