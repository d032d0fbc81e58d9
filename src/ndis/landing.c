/*
 * The landing of the five state operations: from a binding down to the miniport under it, and back.
 *
 * The functions a driver calls return nothing, so everything that cannot be delivered comes back
 * through the completion, with a Status in every block, and never on the caller's stack (P14).
 * Refused trees wait in a queue that is linked through the blocks themselves: being refused needs
 * no memory.
 *
 * On the way up the binding is found in the root's SourceHandle, which NDIS wrote on the way down
 * (P10) and intermediate drivers restored.
 *
 * Threads: any. An operation is counted before the state of its binding is looked at, and until
 * everything about it is over, so that a binding on its way down has only to wait for the count.
 */
#include "ndis/landing.h"

#include "base/log.h"

/* What both forms of completion handler and request handler look like. */
typedef W_INITIATE_OFFLOAD_HANDLER down_fn;
typedef INITIATE_OFFLOAD_COMPLETE_HANDLER up_fn;

static enum crossing_veto
observe_down(struct ndis_landing *landing)
{
    struct crossing *crossing = &landing->crossing;

    landing->observed = ndis_observed(landing->house);
    if (!landing->observed)
        return CROSSING_GO;
    *crossing = ndis_crossing(landing->operation->down, landing->binding, false);
    if (landing->binding->forced == landing->root)
        crossing->from = "ndis";
    crossing->blocks = landing->root;
    return ndis_observe_before(landing->house, crossing);
}

/* The binding may not be known: the root may be anything. */
static enum crossing_veto
observe_up(struct ndis_landing *landing)
{
    struct crossing *crossing = &landing->crossing;

    landing->observed = ndis_observed(landing->house);
    if (!landing->observed)
        return CROSSING_GO;
    *crossing = landing->binding ? ndis_crossing(landing->operation->up, landing->binding, true)
                                 : ndis_crossing_unknown(landing->operation->up, landing->adapter);
    crossing->blocks = landing->root;
    crossing->status = landing->root->Status;
    return ndis_observe_before(landing->house, crossing);
}

void
ndis_landing_over(struct ndis_landing *landing, NDIS_STATUS status)
{
    if (landing->observed)
        ndis_observe_after(landing->house, &landing->crossing, status);
}

/* It was refused, and its driver makes it go down again before it has come back. */
static bool
waits_refused(struct ndis_binding *binding, PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST root)
{
    PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST waiting;

    sys_lock_take(&binding->head.house->lock);
    waiting = binding->refused_head;
    while (waiting && waiting != root)
        waiting = waiting->NdisReserved[0];
    sys_lock_give(&binding->head.house->lock);
    return waiting != NULL;
}

bool
ndis_landing_find(struct ndis_landing *landing, const struct ndis_operation *operation,
                  NDIS_HANDLE handle, PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST root)
{
    struct ndis_binding *binding = ndis_binding_of(handle, operation->name);

    if (!binding)
        return false;
    if (!root) {
        ndis_breach(binding->head.house, 0, binding->protocol->driver->name,
                    "%s: the block list is NULL", operation->name);
        return false;
    }
    if (NDIS_UNLIKELY(waits_refused(binding, root))) {
        ndis_breach(binding->head.house, 18, binding->protocol->driver->name,
                    "%s: the block list is not complete yet", operation->name);
        return false;
    }
    *landing = (struct ndis_landing){.operation = operation,
                                     .house = binding->head.house,
                                     .binding = binding,
                                     .adapter = binding->adapter,
                                     .root = root};
    ndis_operation_begin(binding);
    switch (observe_down(landing)) {
    case CROSSING_GO:
        break;
    case CROSSING_REFUSE:
        ndis_landing_refuse(landing, NDIS_STATUS_FAILURE, "an observer has a veto");
        return false;
    case CROSSING_DROP:
        ndis_landing_over(landing, NDIS_STATUS_FAILURE);
        ndis_operation_over(binding);
        return false;
    }
    if (!binding->open || !ndis_adapter_up(binding->adapter)) {
        ndis_landing_refuse(landing, NDIS_STATUS_FAILURE, "the binding is not open");
        return false;
    }
    if (!binding->adapter->miniport->has_generic && operation != &ndis_initiate) {
        ndis_landing_refuse(landing, NDIS_STATUS_FAILURE,
                            "the driver below has no chimney handlers");
        return false;
    }
    return true;
}

void
ndis_landing_refuse(struct ndis_landing *landing, NDIS_STATUS status, const char *why)
{
    struct ndis_binding *binding = landing->binding;
    PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST root = landing->root;
    struct ndis_walk walk;

    if (landing->rule)
        ndis_breach(landing->house, landing->rule, binding->protocol->driver->name,
                    "%s over %s: refused with 0x%08x, %s", landing->operation->name,
                    landing->adapter->name, (unsigned)status, why);
    else
        log_warn("%s over %s: refused with 0x%08x, %s", landing->operation->name,
                 landing->adapter->name, (unsigned)status, why);
    for (PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST block = ndis_walk_first(&walk, root); block;
         block = ndis_walk_next(&walk))
        block->Status = status;
    landing->crossing.refused = true;
    ndis_landing_over(landing, status);
    root->NdisReserved[0] = NULL;
    root->NdisReserved[2] = (PVOID)landing->operation;
    ndis_operation_begin(binding);
    sys_lock_take(&landing->house->lock);
    if (binding->refused_tail)
        binding->refused_tail->NdisReserved[0] = root;
    else
        binding->refused_head = root;
    binding->refused_tail = root;
    sys_lock_give(&landing->house->lock);
    sys_loop_post(landing->house->loop, &binding->refusal);
    ndis_operation_over(binding);
}

const char *
ndis_landing_decode(struct ndis_landing *landing)
{
    struct ndis_walk walk;
    const char *why = NULL;

    for (PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST block = ndis_walk_first(&walk, landing->root); block;
         block = ndis_walk_next(&walk)) {
        struct ndis_object *object;

        if (!block->OffloadHandle)
            continue;
        object = ndis_object_search(landing->house, block->OffloadHandle);
        if (!object || object->binding != landing->binding) {
            why = "it names an object that is not offloaded through this binding";
        } else if (object->state != NDIS_OBJECT_OFFLOADED ||
                   !object->handle->MiniportOffloadContext) {
            landing->rule = 57;
            why = "it names an object that is being initiated or terminated";
        } else if (block->Header.Size < sizeof(*block)) {
            landing->rule = 15;
            why = "a block is too small";
        }
    }
    if (walk.repeated) {
        landing->rule = 18;
        why = "a block is in it twice";
    }
    return why;
}

static up_fn
up_handler(const struct ndis_landing *landing)
{
    return *(up_fn *)((char *)&landing->binding->client->generic + landing->operation->client);
}

void
ndis_landing_call(struct ndis_landing *landing)
{
    struct ndis_adapter *adapter = landing->adapter;
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root = (PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST)landing->root;
    down_fn handler = *(down_fn *)((char *)&adapter->miniport->generic +
                                   landing->operation->provider);

    handler(adapter->context, root);
    ndis_landing_over(landing, NDIS_STATUS_SUCCESS);
}

/* NULL: no binding over that adapter. SourceHandle may be anything, so it is only compared. */
static struct ndis_binding *
issuer_of(struct ndis_adapter *adapter, PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST root)
{
    return ndis_fan_has(adapter, root->SourceHandle) ? root->SourceHandle : NULL;
}

/* An observer that knows better may put SourceHandle right. */
bool
ndis_landing_find_up(struct ndis_landing *landing, const struct ndis_operation *operation,
                     NDIS_HANDLE handle, PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root)
{
    struct ndis_adapter *adapter = ndis_adapter_of(handle, operation->name);
    bool vetoed;

    if (!adapter)
        return false;
    if (!root) {
        ndis_breach(adapter->head.house, 31, adapter->miniport->driver->name,
                    "%s: completion without a block list", operation->name);
        return false;
    }
    *landing = (struct ndis_landing){.operation = operation,
                                     .house = adapter->head.house,
                                     .adapter = adapter,
                                     .root = (PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST)root};
    landing->binding = issuer_of(adapter, landing->root);
    vetoed = observe_up(landing) != CROSSING_GO;
    landing->binding = vetoed ? NULL : issuer_of(adapter, landing->root);
    if (landing->binding && landing->binding->operations)
        return true;
    if (!vetoed)
        ndis_breach(adapter->head.house, 31, adapter->miniport->driver->name,
                    "%s: adapter %s completes an operation it was not given", operation->name,
                    adapter->name);
    ndis_landing_over(landing, landing->crossing.status);
    return false;
}

void
ndis_landing_return(struct ndis_landing *landing)
{
    struct ndis_binding *binding = landing->binding;

    if (NDIS_UNLIKELY(binding->forced == landing->root))
        binding->forced = NULL;
    else
        up_handler(landing)(binding->context, landing->root);
    ndis_landing_over(landing, landing->crossing.status);
    ndis_operation_over(binding);
}

/* What NDIS refused goes back to the driver. */
static void
return_refused(struct ndis_binding *binding, const struct ndis_operation *operation,
               PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST root)
{
    struct ndis_landing landing = {.operation = operation,
                                   .house = binding->head.house,
                                   .binding = binding,
                                   .adapter = binding->adapter,
                                   .root = root,
                                   .observed = ndis_observed(binding->head.house)};

    if (landing.observed) {
        landing.crossing = ndis_crossing_up(operation->up, binding);
        landing.crossing.blocks = root;
        landing.crossing.status = root->Status;
        ndis_observe(landing.house, &landing.crossing);
    }
    ndis_landing_return(&landing);
}

static PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST
take_refused(struct ndis_binding *binding)
{
    struct house *house = binding->head.house;
    PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST root;

    sys_lock_take(&house->lock);
    root = binding->refused_head;
    if (root)
        binding->refused_head = root->NdisReserved[0];
    if (!binding->refused_head)
        binding->refused_tail = NULL;
    sys_lock_give(&house->lock);
    return root;
}

static void
flush_blocks(struct ndis_binding *binding)
{
    PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST root;

    while ((root = take_refused(binding)) != NULL) {
        const struct ndis_operation *operation = root->NdisReserved[2];

        root->NdisReserved[0] = NULL;
        root->NdisReserved[2] = NULL;
        return_refused(binding, operation, root);
    }
}

static void
deliver_nbls(struct ndis_binding *binding, enum ndis_io_kind kind, NET_BUFFER_LIST *nbls)
{
    const char *tcp = (const char *)&binding->client->tcp;

    if (kind == NDIS_IO_FRAME)
        binding->protocol->handlers.SendNetBufferListsCompleteHandler(binding->context, nbls, 0);
    else
        (*(TCP_OFFLOAD_SEND_COMPLETE_HANDLER *)(tcp + ndis_io_kinds[kind].client))(binding->context,
                                                                                   nbls);
}

static void
flush_nbls(struct ndis_binding *binding, enum ndis_io_kind kind)
{
    struct house *house = binding->head.house;
    struct crossing crossing;
    NET_BUFFER_LIST *nbls;

    sys_lock_take(&house->lock);
    nbls = binding->refused_nbls[kind].head;
    binding->refused_nbls[kind] = (struct ndis_nbl_queue){NULL, NULL};
    sys_lock_give(&house->lock);
    if (!nbls)
        return;
    for (NET_BUFFER_LIST *nbl = nbls; nbl; nbl = nbl->Next)
        if (nbl->NdisReserved[0] == ndis_home_of(binding, NDIS_HOME_REFUSED))
            ndis_home_pop(nbl); /* for want of memory it may not be there */
    crossing = ndis_crossing_up(
        kind == NDIS_IO_FRAME ? CROSSING_SEND_COMPLETE : ndis_io_kinds[kind].up, binding);
    crossing.nbls = nbls;
    crossing.status = nbls->Status;
    ndis_observe(house, &crossing);
    deliver_nbls(binding, kind, nbls);
    ndis_observe_after(house, &crossing, crossing.status);
}

void
ndis_refusals_flush(void *arg)
{
    struct ndis_binding *binding = arg;

    flush_blocks(binding);
    for (int kind = 0; kind < NDIS_IO_KINDS; kind++)
        flush_nbls(binding, kind);
}

void
ndis_landing_plain_down(const struct ndis_operation *operation, NDIS_HANDLE handle,
                        PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST root,
                        bool (*stamp)(enum ndis_state_class))
{
    struct ndis_landing landing;
    struct ndis_walk walk;
    const char *why;

    if (!ndis_landing_find(&landing, operation, handle, root))
        return;
    why = ndis_landing_decode(&landing);
    if (why) {
        ndis_landing_refuse(&landing, NDIS_STATUS_FAILURE, why);
        return;
    }
    for (PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST block = ndis_walk_first(&walk, root); block;
         block = ndis_walk_next(&walk)) {
        if (block->OffloadHandle && stamp(ndis_class_of(block->Header.Type)))
            ndis_states_stamp(block);
        ndis_block_lower(block, landing.binding);
    }
    ndis_landing_call(&landing);
}

void
ndis_landing_plain_up(const struct ndis_operation *operation, NDIS_HANDLE handle,
                      PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root)
{
    struct ndis_landing landing;
    struct ndis_walk walk;

    if (!ndis_landing_find_up(&landing, operation, handle, root))
        return;
    for (PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST block = ndis_walk_first(&walk, root); block;
         block = ndis_walk_next(&walk))
        ndis_block_raise(block);
    ndis_landing_return(&landing);
}
