/*
 * Options that nobody reads. They were given to an adapter by whoever wrote the stack, so a name
 * that its driver has not asked for when it is initialised, or a value that is not of the type it
 * wants, is a mistake, and the adapter does not stand: a stack that runs without what it was told
 * to do would be worse. What a driver wrote itself is its own affair.
 */
#include "ndis/objects.h"

#include "base/log.h"

void
ndis_options_begin(struct ndis_adapter *adapter)
{
    sys_lock_take(&adapter->keys.lock);
    adapter->keys.listening = true;
    adapter->keys.asked[0] = '\0';
    sys_lock_give(&adapter->keys.lock);
}

static const char *
type_name(NDIS_PARAMETER_TYPE type)
{
    switch (type) {
    case NdisParameterInteger:
        return "a number";
    case NdisParameterHexInteger:
        return "a hexadecimal number";
    case NdisParameterBinary:
        return "bytes in hexadecimal";
    case NdisParameterString:
    case NdisParameterMultiString:
        break;
    }
    return "a text that is not so long";
}

static void
tell(const struct ndis_adapter *adapter, const struct ndis_misfit *misfit)
{
    const char *driver = adapter->miniport->driver->name;

    if (misfit->asked)
        log_error("adapter %s: driver %s cannot read %s=%s: it is %s", adapter->name, driver,
                  misfit->name, misfit->value, type_name(misfit->type));
    else if (*adapter->keys.asked)
        log_error("adapter %s: driver %s has no option %s; it has %s", adapter->name, driver,
                  misfit->name, adapter->keys.asked);
    else
        log_error("adapter %s: driver %s has no option %s, nor any other", adapter->name, driver,
                  misfit->name);
}

/* A driver that failed may not have come to its options; one that says that a parameter is wrong
 * has, and perhaps misses the one whose name is misspelt. */
bool
ndis_options_fit(struct ndis_adapter *adapter, NDIS_STATUS status)
{
    struct ndis_misfit misfit;
    unsigned count = 0;

    sys_lock_take(&adapter->keys.lock);
    adapter->keys.listening = false; /* what was asked stands still from here on */
    sys_lock_give(&adapter->keys.lock);
    if (status != NDIS_STATUS_SUCCESS && status != NDIS_STATUS_INVALID_PARAMETER)
        return true;
    while (ndis_keys_misfit(&adapter->keys, count, &misfit)) {
        tell(adapter, &misfit);
        count++;
    }
    return count == 0;
}
