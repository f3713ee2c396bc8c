#include "damaged.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *document_path(const struct fixture *fixture, const char *file)
{
    return format("%s/state/snapshot/guest/%s", fixture->root, file);
}

void write_bytes(const char *path, const void *bytes, size_t count)
{
    FILE *stream = fopen(path, "w");

    assert_non_null(stream);
    assert_int_equal(fwrite(bytes, 1, count, stream), count);
    assert_int_equal(fclose(stream), 0);
}

void put_bytes(const struct fixture *fixture, const char *file, const void *bytes, size_t count)
{
    char *path = document_path(fixture, file);

    write_bytes(path, bytes, count);
    free(path);
}

void put(const struct fixture *fixture, const char *file, const char *text)
{
    put_bytes(fixture, file, text, strlen(text));
}

char *read_document(const struct fixture *fixture, const char *file)
{
    enum { MOST = 65536 };
    char *path = document_path(fixture, file);
    char *text = calloc(1, MOST);
    FILE *stream = fopen(path, "r");

    assert_non_null(text);
    assert_non_null(stream);
    assert_true(fread(text, 1, MOST - 1, stream) > 0);
    fclose(stream);
    free(path);
    return text;
}

void furnish(struct fixture *fixture)
{
    virDomainPtr domain = fixture_domain(fixture, "guest", 1);

    tree_redefine(domain, "s1 s2<s1 *s3<s2 s4<s2");
    close_guest(fixture, domain);
}

void close_guest(struct fixture *fixture, virDomainPtr domain)
{
    virDomainFree(domain);
    assert_int_equal(virConnectClose(fixture->connection), 0);
    fixture->connection = NULL;
}

virDomainPtr open_guest(struct fixture *fixture)
{
    virDomainPtr domain;

    fixture->connection = virConnectOpen(fixture->uri);
    assert_non_null(fixture->connection);
    domain = virDomainLookupByName(fixture->connection, "guest");
    assert_non_null(domain);
    return domain;
}

char *problems_text(virSnapProblemPtr *problems, int count)
{
    char *text = format("%s", "");

    assert_true(count >= 0);
    for (int i = 0; i < count; i++) {
        const char *file = strrchr(problems[i]->file, '/');
        char *more = format("%s%d %s %s\n", text, problems[i]->kind, problems[i]->name,
                            file ? file + 1 : "?");

        assert_true(strlen(problems[i]->text) > 0);
        free(text);
        text = more;
        virSnapProblemFree(problems[i]);
    }
    free(problems);
    return text;
}

void assert_problems(virDomainPtr domain, const char *expected)
{
    virSnapProblemPtr *problems = NULL;
    int count = virSnapDomainListProblems(domain, &problems, 0);
    char *text = problems_text(problems, count);

    assert_int_equal(virSnapDomainListProblems(domain, NULL, 0), count);
    assert_string_equal(text, expected);
    free(text);
}

void assert_tree(virDomainPtr domain, const char *expected)
{
    char *text = tree_text(domain);

    assert_string_equal(text, expected);
    free(text);
}

void assert_refused(const char *file)
{
    virErrorPtr error = virGetLastError();

    assert_non_null(error);
    assert_int_equal(error->code, VIR_ERR_INTERNAL_ERROR);
    if (!strstr(error->message, file))
        fail_msg("'%s' does not name %s", error->message, file);
    virResetLastError();
}

void change_document(const struct fixture *fixture, const char *file, const char *from,
                            const char *to)
{
    char *text = read_document(fixture, file);
    char *at = strstr(text, from);
    char *changed;

    assert_non_null(at);
    *at = '\0';
    changed = format("%s%s%s", text, to, at + strlen(from));
    put(fixture, file, changed);
    free(changed);
    free(text);
}
