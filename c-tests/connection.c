/* Connections: opening, counting references, what they say of themselves, wrong handles. */
#include "harness.h"

#include <stdlib.h>
#include <string.h>

static void references_are_counted(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(virConnectRef(fixture->connection), 0);
    assert_int_equal(virConnectClose(fixture->connection), 1);
    assert_int_equal(virConnectIsAlive(fixture->connection), 1);
    assert_int_equal(virConnectClose(fixture->connection), 0);
    fixture->connection = NULL;
}

static void domain_keeps_its_connection(void **state)
{
    struct fixture *fixture = *state;
    virDomainPtr domain = fixture_domain(fixture, "kept", 0);

    assert_int_equal(virConnectClose(fixture->connection), 1);
    fixture->connection = NULL;
    assert_string_equal(virDomainGetName(domain), "kept");
    assert_int_equal(virDomainIsActive(domain), 0);
    assert_int_equal(virDomainFree(domain), 0);
}

static void uri_is_given_back(void **state)
{
    struct fixture *fixture = *state;
    char *uri = virConnectGetURI(fixture->connection);

    assert_non_null(uri);
    assert_string_equal(uri, fixture->uri);
    free(uri);
}

static void local_connection_is_secure(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(virConnectIsAlive(fixture->connection), 1);
    assert_int_equal(virConnectIsSecure(fixture->connection), 1);
    assert_int_equal(virConnectIsEncrypted(fixture->connection), 0);
}

static void version_needs_a_place(void **state)
{
    struct fixture *fixture = *state;
    unsigned long version = 0;

    assert_int_equal(virConnectGetLibVersion(fixture->connection, NULL), -1);
    assert_error(VIR_ERR_INVALID_ARG, VIR_FROM_DOMAIN,
                 "libVer in virConnectGetLibVersion must not be NULL");
    assert_int_equal(virConnectGetLibVersion(fixture->connection, &version), 0);
    assert_true(version > 0);
}

static void fresh_connection_has_no_domains(void **state)
{
    struct fixture *fixture = *state;
    virDomainPtr *domains = NULL;

    assert_int_equal(virConnectListAllDomains(fixture->connection, &domains, 0), 0);
    assert_non_null(domains);
    assert_null(domains[0]);
    free(domains);
    assert_int_equal(virConnectNumOfDomains(fixture->connection), 0);
    assert_int_equal(virConnectNumOfDefinedDomains(fixture->connection), 0);
}

static void read_only_connection_refuses_to_define(void **state)
{
    struct fixture *fixture = *state;
    virConnectPtr reader = virConnectOpenReadOnly(fixture->uri);
    char *xml = domain_xml("refused", NULL, NULL, 0);

    assert_non_null(reader);
    assert_null(virDomainDefineXML(reader, xml));
    assert_error(VIR_ERR_OPERATION_DENIED, VIR_FROM_DOMAIN,
                 "operation forbidden: read only access prevents virDomainDefineXML");
    free(xml);
    virConnectClose(reader);
}

static void null_is_no_connection(void **state)
{
    (void)state;
    assert_int_equal(virConnectClose(NULL), -1);
    assert_error(VIR_ERR_INVALID_CONN, VIR_FROM_NONE,
                 "invalid connection pointer in virConnectClose");
    assert_null(virConnectGetURI(NULL));
    assert_error(VIR_ERR_INVALID_CONN, VIR_FROM_DOMAIN,
                 "invalid connection pointer in virConnectGetURI");
    assert_int_equal(virConnectRef(NULL), -1);
    assert_error(VIR_ERR_INVALID_CONN, VIR_FROM_DOMAIN,
                 "invalid connection pointer in virConnectRef");
    assert_int_equal(virConnectIsAlive(NULL), -1);
    assert_error(VIR_ERR_INVALID_CONN, VIR_FROM_DOMAIN,
                 "invalid connection pointer in virConnectIsAlive");
}

static void success_clears_the_last_error(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(virConnectIsAlive(NULL), -1);
    assert_int_equal(virGetLastErrorCode(), VIR_ERR_INVALID_CONN);
    assert_int_equal(virConnectIsAlive(fixture->connection), 1);
    assert_no_error();
    assert_int_equal(virGetLastErrorCode(), VIR_ERR_OK);
    assert_string_equal(virGetLastErrorMessage(), "no error");
}

static void malformed_uri_is_refused(void **state)
{
    (void)state;
    assert_null(virConnectOpen("not a uri"));
    assert_int_not_equal(virGetLastErrorCode(), VIR_ERR_OK);
    assert_int_equal(virGetLastErrorDomain(), VIR_FROM_URI);
    virResetLastError();
}

/* libvirt would look for a daemon, so this is about our own URIs. */
static void uri_without_state_directory_is_refused(void **state)
{
    static const char *const uris[] = {
        "virsnap://", "virsnap:///", "virsnap:relative/path", "virsnap://host/path",
    };

    (void)state;
    if (api_is_libvirt())
        skip();
    for (size_t i = 0; i < sizeof(uris) / sizeof(uris[0]); i++) {
        assert_null(virConnectOpen(uris[i]));
        assert_error(VIR_ERR_INVALID_ARG, VIR_FROM_URI, NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(references_are_counted),
        fixture_test(domain_keeps_its_connection),
        fixture_test(uri_is_given_back),
        fixture_test(local_connection_is_secure),
        fixture_test(version_needs_a_place),
        fixture_test(fresh_connection_has_no_domains),
        fixture_test(read_only_connection_refuses_to_define),
        cmocka_unit_test(null_is_no_connection),
        fixture_test(success_clears_the_last_error),
        cmocka_unit_test(malformed_uri_is_refused),
        cmocka_unit_test(uri_without_state_directory_is_refused),
    };

    return run_family("connection", tests);
}
