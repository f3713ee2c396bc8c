/* Lines of JSON on standard output. */
#include "output.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TIME_DIGITS = 10 };

void put_string(FILE *out, const char *text)
{
    if (!text) {
        fputs("null", out);
        return;
    }
    fputc('"', out);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\')
            fprintf(out, "\\%c", *c);
        else if (*c < 0x20)
            fprintf(out, "\\u%04x", *c);
        else
            fputc(*c, out);
    }
    fputc('"', out);
}

/* Seconds since 1970 have ten digits from 2001 to 2286; no other number here has. */
static void mask_times(char *text)
{
    for (char *c = text; *c;) {
        size_t digits = strspn(c, "0123456789");

        if (digits == TIME_DIGITS && *c == '1')
            memset(c, 'T', TIME_DIGITS);
        c += digits ? digits : 1;
    }
}

char *masked(const struct world *world, const char *text)
{
    char *out = replaced(text, world->setting->root, "/ROOT");

    mask_times(out);
    return out;
}

static void put_masked(const struct world *world, const char *text)
{
    char *out = text ? masked(world, text) : NULL;

    put_string(stdout, out);
    free(out);
}

struct line line_begin(const struct world *world, unsigned int step, const char *form, ...)
{
    struct line line = {.world = world, .step = step};
    size_t length = 0;
    FILE *stream = open_memstream(&line.call, &length);
    va_list values;

    assert_non_null(stream);
    va_start(values, form);
    vfprintf(stream, form, values);
    va_end(values);
    fclose(stream);
    fprintf(stderr, "calling %s\n", line.call);
    return line;
}

static void put_error(const struct world *world, virErrorPtr error)
{
    if (!error || error->code == VIR_ERR_OK) {
        fputs("null", stdout);
        return;
    }
    printf("{\"code\":%d,\"domain\":%d,\"level\":%d,\"message\":", error->code, error->domain,
           error->level);
    put_masked(world, error->message);
    fputs(",\"str1\":", stdout);
    put_masked(world, error->str1);
    fputs(",\"str2\":", stdout);
    put_masked(world, error->str2);
    printf(",\"int1\":%d,\"int2\":%d}", error->int1, error->int2);
}

static void end(struct line *line, const char *json)
{
    virErrorPtr error = virGetLastError();

    printf("{\"sequence\":%u,\"step\":%u,\"kind\":\"%s\",\"call\":", line->world->number,
           line->step, line->world->kind);
    put_masked(line->world, line->call);
    if (line->input) {
        fputs(",\"input\":", stdout);
        put_masked(line->world, line->input);
    }
    if (line->equivalent)
        printf(",\"equivalent\":%s", line->equivalent);
    printf(",\"value\":%s,\"error\":", json);
    put_error(line->world, error);
    puts("}");
    free(line->call);
    free(line->input);
    free(line->equivalent);
}

void line_end_number(struct line *line, long number)
{
    char *json = format("%ld", number);

    end(line, json);
    free(json);
}

void line_end_text(struct line *line, const char *text)
{
    size_t length = 0;
    char *json = NULL;
    FILE *stream = open_memstream(&json, &length);
    char *shown = text ? masked(line->world, text) : NULL;

    assert_non_null(stream);
    put_string(stream, shown);
    fclose(stream);
    end(line, json);
    free(shown);
    free(json);
}

void line_end_json(struct line *line, const char *json)
{
    end(line, json);
}
