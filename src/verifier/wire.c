/*
 * The rules that need the frames (kind C), as far as what passes the target decides them. A frame
 * belongs to a connection while that is offloaded and nothing else: before and after, the host
 * stack's own frames of the same connection take the regular path over the same wire.
 *
 * With an intermediate driver a connection has one object per landing; the one that counts is the
 * target's, the adapter under which the frame passes.
 */
#include "verifier/nbls.h"

#include <string.h>

#define ETHERNET 14
#define TAG 4
#define TCP_HEADER 20

enum { FIN = 1, SYN = 2, RST = 4, ACK = 16 };

struct segment {
    const struct verifier_frame *frame;
    struct verifier *verifier;
    bool tagged;
    uint16_t tag;
    const uint8_t *ip, *tcp;
    bool ipv6;
    size_t payload;
    uint16_t source_port, destination_port; /* as they are in the frame */
    uint32_t seq, ack, window;
    unsigned flags;
    bool has_timestamp, has_sack;
    uint32_t tsval;
};

static uint16_t
get16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t
get32(const uint8_t *at)
{
    return (uint32_t)get16(at) << 16 | get16(at + 2);
}

static bool
after(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) > 0;
}

/* ---- reading ---- */

static void
read_options(struct segment *segment, const uint8_t *at, const uint8_t *end)
{
    while (at < end && *at != 0) {
        uint8_t kind = *at;

        if (kind == 1) {
            at++;
            continue;
        }
        if (end - at < 2 || at[1] < 2 || at[1] > end - at)
            return;
        if (kind == 8 && at[1] == 10) {
            segment->has_timestamp = true;
            segment->tsval = get32(at + 2);
        }
        segment->has_sack |= kind == 5;
        at += at[1];
    }
}

/* Where TCP begins, and the length of the packet; NULL: not TCP that can be judged here. */
static const uint8_t *
read_ip(struct segment *segment, const uint8_t *end, size_t *length)
{
    const uint8_t *ip = segment->ip;

    if (end - ip < 20)
        return NULL;
    segment->ipv6 = ip[0] >> 4 == 6;
    if (segment->ipv6) {
        *length = 40u + get16(ip + 4);
        return end - ip >= 40 && ip[6] == 6 ? ip + 40 : NULL;
    }
    *length = get16(ip + 2);
    return ip[0] >> 4 == 4 && ip[9] == 6 ? ip + 4 * (ip[0] & 15) : NULL;
}

static bool
read_segment(struct segment *segment, const struct verifier_frame *frame)
{
    const uint8_t *end = frame->bytes + frame->len;
    size_t length, header;

    if (frame->len < ETHERNET + TAG)
        return false;
    segment->frame = frame;
    segment->ip = frame->bytes + ETHERNET;
    segment->tagged = get16(frame->bytes + 12) == 0x8100;
    if (segment->tagged) {
        segment->tag = get16(frame->bytes + 14);
        segment->ip += TAG;
    }
    segment->tcp = read_ip(segment, end, &length);
    if (!segment->tcp || end - segment->tcp < TCP_HEADER)
        return false;
    header = 4u * (segment->tcp[12] >> 4);
    if (header < TCP_HEADER || (size_t)(end - segment->tcp) < header)
        return false;
    if (frame->gso_size) /* the length field of a superframe may be short of 64 KiB */
        length = frame->frame_len - (size_t)(segment->ip - frame->bytes);
    segment->payload = length - (size_t)(segment->tcp - segment->ip) - header;
    segment->source_port = get16(segment->tcp);
    segment->destination_port = get16(segment->tcp + 2);
    segment->seq = get32(segment->tcp + 4);
    segment->ack = get32(segment->tcp + 8);
    segment->flags = segment->tcp[13];
    segment->window = get16(segment->tcp + 14);
    read_options(segment, segment->tcp + TCP_HEADER, segment->tcp + header);
    return true;
}

/* ---- whose it is ---- */

static bool
same_addresses(const struct shadow_object *path, const uint8_t *source, const uint8_t *destination)
{
    size_t size = path->ipv6 ? 16 : 4;

    return !memcmp(path->source, source, size) && !memcmp(path->destination, destination, size);
}

/* VLANs may use the same addresses. Of what is sent only an id of another VLAN says whose it is: a
 * tag that is missing, or one too many, may be the driver's mistake (V-174). */
static bool
same_vlan(const struct shadow_object *path, const struct segment *segment)
{
    const struct shadow_object *neighbor = path->parent;
    unsigned own = neighbor ? neighbor->fixed.neighbor_state.VlanId : 0;
    unsigned id = segment->tagged ? segment->tag & 0xfffu : 0;

    return id == own || own == 0 || (segment->frame->out && id == 0);
}

static bool
belongs(const struct shadow_object *object, const struct segment *segment)
{
    const TCP_OFFLOAD_STATE_CONST *tcp = &object->fixed.tcp_state;
    const uint8_t *source = segment->ip + (segment->ipv6 ? 8 : 12);
    const uint8_t *destination = source + (segment->ipv6 ? 16 : 4);
    uint16_t local = (uint16_t)(tcp->LocalPort << 8 | tcp->LocalPort >> 8);
    uint16_t remote = (uint16_t)(tcp->RemotePort << 8 | tcp->RemotePort >> 8);

    if (!object->parent || object->parent->ipv6 != segment->ipv6 ||
        !same_vlan(object->parent, segment))
        return false;
    if (segment->frame->out)
        return segment->source_port == local && segment->destination_port == remote &&
               same_addresses(object->parent, source, destination);
    return segment->source_port == remote && segment->destination_port == local &&
           same_addresses(object->parent, destination, source);
}

struct find {
    const char *name;
    struct shadow_adapter *adapter;
};

static void
match_adapter(void *arg, struct table_entry *entry)
{
    struct shadow_adapter *adapter = container_of(entry, struct shadow_adapter, entry);
    struct find *find = arg;

    if (!strcmp(adapter->name, find->name))
        find->adapter = adapter;
}

static struct shadow_adapter *
find_adapter(struct verifier *verifier, const char *name)
{
    struct find find = {.name = name};

    table_each(&verifier->adapters, match_adapter, &find);
    return find.adapter;
}

static struct shadow_object *
owner(struct shadow_adapter *adapter, const struct segment *segment)
{
    list_for_each(object, &adapter->objects, struct shadow_object, link)
        if (object->layer == SHADOW_TCP && object->life == SHADOW_OFFLOADED &&
            belongs(object, segment))
            return object;
    return NULL;
}

/* ---- what is sent ---- */

static void
blame(const struct segment *segment, const struct shadow_object *object, unsigned rule,
      const char *seen)
{
    report_late(segment->verifier, rule, object->adapter->driver->name, object->adapter->name,
                object->handle, "a segment of %zu bytes at seq %u, flags 0x%02x: %s",
                segment->payload, segment->seq, segment->flags, seen);
}

static void
check_ipv4(const struct segment *segment, const struct shadow_object *object)
{
    uint16_t fragment = get16(segment->ip + 6);

    if (segment->ipv6)
        return;
    if (!(fragment & 0x4000))
        blame(segment, object, 167, "DF is not set");
    if (fragment & 0x3fff)
        blame(segment, object, 168, "it is a fragment");
    if (!(get16(segment->ip + 4) & 0x8000))
        blame(segment, object, 169, "its IP ID is in the host stack's half");
}

static void
check_size(const struct segment *segment, const struct shadow_object *object)
{
    const struct shadow_object *path = object->parent;
    size_t each = segment->frame->gso_size ? segment->frame->gso_size : segment->payload;
    size_t headers = (size_t)(segment->tcp - segment->ip) + 4u * (segment->tcp[12] >> 4);

    if (each > object->fixed.tcp_state.RemoteMss)
        blame(segment, object, 170, "it is larger than RemoteMss");
    else if (each && !path->updates && headers + each > path->cached.path.PathMtu)
        blame(segment, object, 170, "it is larger than PathMtu");
    /* one byte beyond is a window probe */
    else if (object->wire_acked_seen && segment->payload > 1 &&
             after(segment->seq + (uint32_t)segment->payload, object->wire_edge))
        blame(segment, object, 170, "it goes beyond the peer's window");
}

static void
check_options(const struct segment *segment, struct shadow_object *object)
{
    USHORT flags = object->fixed.tcp_state.Flags;
    bool timestamps = (flags & TCP_FLAG_TIMESTAMP_ENABLED) != 0;

    if (segment->has_sack && !(flags & TCP_FLAG_SACK_ENABLED))
        blame(segment, object, 172, "it carries SACK blocks, and SACK is not enabled");
    if (segment->flags & RST)
        return;
    if (segment->has_timestamp != timestamps)
        blame(segment, object, 171,
              timestamps ? "it carries no timestamp" : "it carries a timestamp");
    else if (timestamps && object->tsval_seen && after(object->tsval, segment->tsval))
        blame(segment, object, 171, "its timestamp goes back");
    object->tsval = segment->tsval;
    object->tsval_seen = timestamps;
}

/* V-174: no tag for VLAN 0 and priority 0; both in the tag otherwise. A target need not know
 * priorities, and then none of its frames has one: not some of them. */
static bool
tag_fits(const struct segment *segment, const struct shadow_object *object, unsigned vlan_id)
{
    unsigned tag = segment->tagged ? segment->tag : 0, priority = object->cached.tcp.UserPriority;
    struct shadow_adapter *adapter = object->adapter;

    if (segment->tagged && !tag)
        return false;
    if (!priority)
        return tag == vlan_id;
    if (tag == (vlan_id | priority << 13))
        adapter->sends_priority = true;
    else if (tag == vlan_id)
        adapter->leaves_priority = true;
    else
        return false;
    return !adapter->sends_priority || !adapter->leaves_priority;
}

static void
check_link(const struct segment *segment, const struct shadow_object *object)
{
    static const uint8_t none[6];
    const struct shadow_object *neighbor = object->parent->parent;
    const uint8_t *source, *to = segment->frame->bytes;

    if (!neighbor || neighbor->updates || object->parent->updates || object->updates)
        return;
    source = neighbor->fixed.neighbor_state.DlSourceAddress;
    if (!memcmp(source, none, sizeof(none)))
        source = segment->frame->mac;
    if (memcmp(to, neighbor->cached.neighbor.DlDestinationAddress, 6) != 0)
        blame(segment, object, 174, "it goes to another link address than the neighbor's");
    else if (memcmp(to + 6, source, 6) != 0)
        blame(segment, object, 174, "it comes from another link address than the adapter's");
    else if (!tag_fits(segment, object, neighbor->fixed.neighbor_state.VlanId))
        blame(segment, object, 174, "its VLAN tag is not the connection's");
}

/* What the host stack said before may still wait in front of a wire that is full, and is its own
 * when it leaves. */
static bool
may_be_hosts(const struct segment *segment, const struct shadow_object *object)
{
    return object->adapter->frames_down && (segment->ipv6 || !(get16(segment->ip + 4) & 0x8000));
}

static void
sent(const struct segment *segment, struct shadow_object *object)
{
    if (may_be_hosts(segment, object))
        return;
    if (segment->flags & RST && !object->host_aborted)
        blame(segment, object, 121, "nobody asked for an abortive disconnect");
    check_ipv4(segment, object);
    check_size(segment, object);
    check_options(segment, object);
    check_link(segment, object);
}

/* ---- what comes ---- */

static void
acknowledged(const struct segment *segment, struct shadow_object *object)
{
    const TCP_OFFLOAD_STATE_CONST *tcp = &object->fixed.tcp_state;
    uint32_t edge;

    if (!(segment->flags & ACK) || segment->flags & (SYN | RST))
        return;
    edge = segment->ack +
           (segment->window << (tcp->Flags & TCP_FLAG_WINDOW_SCALING_ENABLED ? tcp->SndWindScale
                                                                             : 0));
    if (!object->wire_acked_seen) {
        const TCP_OFFLOAD_STATE_DELEGATED *state = &object->delegated.tcp;

        object->wire_acked = state->SndUna;
        object->wire_edge = state->SndUna + state->SndWnd;
        /* what was sent was in the window then, whatever scaling has rounded since */
        if (after(state->SndMax, object->wire_edge))
            object->wire_edge = state->SndMax;
        object->wire_acked_seen = true;
    }
    if (after(segment->ack, object->wire_acked))
        object->wire_acked = segment->ack;
    if (after(edge, object->wire_edge))
        object->wire_edge = edge;
}

/* Also by objects on their way down: the segment is the host stack's, who forwards it, and what the
 * peer says in it is so for the target as well. */
static void
received(const struct segment *segment, struct shadow_adapter *adapter)
{
    list_for_each(object, &adapter->objects, struct shadow_object, link)
        if (object->layer == SHADOW_TCP && belongs(object, segment))
            acknowledged(segment, object);
}

void
verifier_frame(struct verifier *verifier, const struct verifier_frame *frame)
{
    struct segment segment = {.verifier = verifier};
    struct shadow_adapter *adapter;
    struct shadow_object *object;

    if (!read_segment(&segment, frame))
        return;
    pthread_mutex_lock(&verifier->lock);
    adapter = find_adapter(verifier, frame->adapter);
    object = adapter ? owner(adapter, &segment) : NULL;
    if (object) {
        verifier->counts.frames++;
        object->wire_seen = true;
        if (frame->out)
            sent(&segment, object);
    }
    if (adapter && !frame->out)
        received(&segment, adapter);
    pthread_mutex_unlock(&verifier->lock);
}

/* What had come before the connection was offloaded the host stack brings now. */
static void
forwarded(struct verifier *verifier, struct call *call)
{
    uint8_t header[TCP_HEADER];

    if (!call->object || call->object->layer != SHADOW_TCP || call->crossing->veto != CROSSING_GO)
        return;
    for (const NET_BUFFER_LIST *nbl = call->crossing->nbls; nbl; nbl = nbl->Next) {
        if (nbl_read(NET_BUFFER_LIST_FIRST_NB(nbl), header, sizeof(header)) < sizeof(header))
            continue; /* V-118 */
        acknowledged(&(struct segment){.ack = get32(header + 8),
                                       .flags = header[13],
                                       .window = get16(header + 14)},
                     call->object);
    }
}

/* ---- completions, measured by what came ---- */

static void
sends_completed(struct verifier *verifier, struct call *call)
{
    if (call_by_ndis(call))
        return;
    for (NET_BUFFER_LIST *nbl = call->crossing->nbls; nbl; nbl = nbl->Next) {
        struct shadow_nbl *shadow = shadow_nbl_find(verifier, nbl, SHADOW_SEND, call->binding);
        struct shadow_object *object = shadow ? shadow->object : NULL;

        if (object && object->wire_seen && nbl->Status == NDIS_STATUS_SUCCESS && shadow->length &&
            (!object->wire_acked_seen || after(shadow->seq + shadow->length, object->wire_acked)))
            report(call, 77, BLAME_CALLER, object->handle,
                   "a send up to seq %u succeeds, the peer has acknowledged %u",
                   shadow->seq + shadow->length, object->wire_acked);
    }
}

const struct family wire_family = {
    .before = {[CROSSING_TCP_FORWARD] = forwarded, [CROSSING_TCP_SEND_COMPLETE] = sends_completed},
};
