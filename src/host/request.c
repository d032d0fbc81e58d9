/*
 * OID queries of the host stack's. NDIS answers at once unless another request is in the miniport's
 * hands; then the answer comes later, through the handler. A caller who wants a figure now has no
 * use for it: request and buffer live on the heap, so that the late answer has a place to go, and
 * are freed with it. One at a time; a pause waits for it (V-186).
 */
#include "host/edge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct query {
    NDIS_OID_REQUEST request;
    _Alignas(16) UCHAR answer[];
};

static struct query *
query_create(ULONG oid, ULONG length)
{
    struct query *query = calloc(1, sizeof *query + length);

    if (!query)
        return NULL;
    query->request = (NDIS_OID_REQUEST){
        .Header = {.Type = NDIS_OBJECT_TYPE_OID_REQUEST,
                   .Revision = NDIS_OID_REQUEST_REVISION_1,
                   .Size = sizeof query->request},
        .RequestType = NdisRequestQueryInformation,
        .DATA.QUERY_INFORMATION = {.Oid = oid,
                                   .InformationBuffer = query->answer,
                                   .InformationBufferLength = length},
    };
    return query;
}

static int
read_answer(const struct query *query, NDIS_STATUS status, void *buffer, ULONG length)
{
    switch ((ULONG)status) {
    case (ULONG)NDIS_STATUS_SUCCESS:
        break;
    case (ULONG)NDIS_STATUS_NOT_SUPPORTED:
    case (ULONG)NDIS_STATUS_INVALID_OID:
        return -EOPNOTSUPP;
    case (ULONG)NDIS_STATUS_BUFFER_TOO_SHORT:
    case (ULONG)NDIS_STATUS_INVALID_LENGTH:
        return -EMSGSIZE;
    default:
        return -EIO;
    }
    if (query->request.DATA.QUERY_INFORMATION.BytesWritten != length)
        return -EMSGSIZE;
    memcpy(buffer, query->answer, length);
    return 0;
}

int
host_query_oid(struct host_binding *binding, ULONG oid, void *buffer, ULONG length)
{
    if (binding->state != HOST_BINDING_RUNNING)
        return -ENETDOWN;
    if (binding->querying)
        return -EBUSY;
    struct query *query = query_create(oid, length);
    if (!query)
        return -ENOMEM;
    binding->querying = true; /* before the call: its completion may be the quicker one */
    NDIS_STATUS status = NdisOidRequest(binding->handle, &query->request);
    if (status == NDIS_STATUS_PENDING)
        return -EAGAIN;
    binding->querying = false;
    int error = read_answer(query, status, buffer, length);
    free(query);
    return error;
}

void
host_query_oid_done(struct host_binding *binding, NDIS_OID_REQUEST *request)
{
    binding->querying = false;
    free(container_of(request, struct query, request));
    host_binding_drain(binding);
}
