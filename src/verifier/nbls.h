/*
 * The data calls in common: send.c, receive.c, disconnect.c and forward.c say which rule speaks of
 * what, nbls.c looks. Also the bytes themselves.
 */
#ifndef VERIFIER_NBLS_H
#define VERIFIER_NBLS_H

#include "verifier/shadow.h"

/* Which rule is broken by what. */
struct nbl_rules {
    enum shadow_kind kind;
    unsigned early;  /* posting before the initiate is over; 0: the family looks at that */
    unsigned shape;  /* a list that nobody could work with (the caller's) */
    unsigned answer; /* another answer than PENDING */
    unsigned once;   /* completing what is not under way, or never completing it */
    unsigned stack;  /* completing it inside the call that posted it */
    unsigned order;  /* completing it before an older one; 0: allowed */
    unsigned result; /* Status, count or NET_BUFFERs that are not as they should be */
    unsigned status; /* a status that is none of the known ones, or without its reason */
    /* What else the family knows about one that completes. May be NULL. */
    void (*more)(struct verifier *verifier, struct call *call, struct shadow_nbl *nbl);
};

/* Before a call: false: vetoed. */
bool nbls_post(struct verifier *verifier, struct call *call, const struct nbl_rules *rules);
/* After it. */
void nbls_answered(struct call *call, const struct nbl_rules *rules);
/* Before a completion. */
void nbls_complete(struct verifier *verifier, struct call *call, const struct nbl_rules *rules);
/* The house is gone: what never came back. */
void nbls_finish(struct verifier *verifier, const struct nbl_rules *rules);

/* What is not the target's in one that comes back is as it was (V-087, V-163). */
void nbl_check_members(struct call *call, const struct shadow_nbl *nbl);
/* Somebody has kept writing to it, and it can only have been its owner (V-085). */
bool nbl_was_changed(const struct shadow_nbl *nbl);

/* It is under way now. data: it has some, which nobody but its owner may change. */
void nbl_note_posted(struct verifier *verifier, struct shadow_nbl *nbl, bool data);
/* NDIS keeps it: it comes back from there. */
void nbl_note_refused(struct verifier *verifier, struct shadow_nbl *nbl);
/* This one's driver had no memory for it: who passes that on above is not to blame. */
void nbl_note_no_memory(const struct shadow_nbl *nbl);

/* It does not run into itself. */
/* Posted, or sent as a frame, over that binding and not back. NULL: it is not. */
const struct shadow_nbl *nbl_under_way(struct verifier *verifier, const NET_BUFFER_LIST *nbl,
                                       const struct shadow_binding *binding);

/* ---- what is known of a connection ---- */

static inline bool
reason_is_mandatory(ULONG reason)
{
    return reason >= HardwareFailure && reason <= UploadRequested;
}

/* It goes up, and its I/O may say so. */
bool object_uploading(const struct shadow_object *object);
/* It is reset or broken, and its I/O may say so. */
bool object_reset(const struct shadow_object *object);
/* It had sent, or received, its FIN before it was lent; or, of the peer, has since. */
bool object_host_finished(const struct shadow_object *object);
bool object_peer_finished(const struct shadow_object *object);

/* Data comes: a request that completed short had no reason to (receive.c). */
void receive_went_on(struct call *call, struct shadow_object *object);

/* ---- nbl_bytes.c ---- */

/* The data lies in the MDLs. */
bool nb_fits(const NET_BUFFER *nb);
/* … of all of them, and there is at least one. */
bool nbl_fits(const NET_BUFFER_LIST *nbl);
bool nbl_is_locked(const NET_BUFFER_LIST *nbl);
/* Of the data as it was when it was posted; it must still be there. */
uint64_t nbl_hash(const struct shadow_nbl *nbl);
/* Copies so many bytes; how many there were. */
ULONG nbl_read(const NET_BUFFER *nb, UCHAR *to, ULONG length);
ULONG nbl_transferred(const NET_BUFFER_LIST *nbl);
ULONG nbl_data_length(const NET_BUFFER_LIST *nbl);

/* ---- received bytes that are owed ---- */

/* The data of a chain. */
void owed_chain(struct shadow_owed *owed, unsigned rule, const NET_BUFFER_LIST *chain);
/* What the host stack did not take of an indication (V-109). */
void owed_rest(struct shadow_owed *owed, const struct shadow_nbl *nbl, ULONG consumed);
/* So many bytes, from that offset of the chain on, are those owed, as far as any are. */
bool owed_matches(const struct shadow_owed *owed, const MDL *chain, ULONG offset, ULONG bytes);
void owed_delivered(struct shadow_owed *owed, ULONG bytes);
void owed_settle(struct shadow_owed *owed);

#endif
