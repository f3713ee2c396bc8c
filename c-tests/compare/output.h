/* One line of JSON for each call and each state, the same text wherever and whenever it runs. */
#ifndef VIRSNAP_COMPARE_OUTPUT_H
#define VIRSNAP_COMPARE_OUTPUT_H

#include <stdio.h>

#include "world.h"

/* A line under way: the call is said before it is made, the rest once it has answered. */
struct line {
    const struct world *world;
    unsigned int step;
    char *call;
    char *input;        /* the document given, or NULL */
    char *equivalent;   /* what a call that means the same answers, or NULL */
};

/* Begins a line; the text is the call as C would write it. */
struct line line_begin(const struct world *world, unsigned int step, const char *form, ...)
    __attribute__((format(printf, 3, 4)));

/* Each ends the line with what the call answered, and frees what belongs to the line. The thread's
 * last error must still be that of the call. */
void line_end_number(struct line *line, long number);
void line_end_text(struct line *line, const char *text);
void line_end_json(struct line *line, const char *json);

/* A JSON string, with the process's own directory and the seconds of now masked. */
void put_string(FILE *out, const char *text);

/* Both steps of the masking. Freed by the caller. */
char *masked(const struct world *world, const char *text);

#endif
