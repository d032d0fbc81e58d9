/* Doubly linked intrusive list with a sentinel head. A node that is on no list points at itself. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next;
    struct list *prev;
};

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

static inline void
list_init(struct list *head)
{
    head->next = head;
    head->prev = head;
}

static inline bool
list_empty(const struct list *head)
{
    return head->next == head;
}

static inline void
list_insert(struct list *node, struct list *prev, struct list *next)
{
    node->prev = prev;
    node->next = next;
    prev->next = node;
    next->prev = node;
}

static inline void
list_add_head(struct list *head, struct list *node)
{
    list_insert(node, head, head->next);
}

static inline void
list_add_tail(struct list *head, struct list *node)
{
    list_insert(node, head->prev, head);
}

/* Takes node off its list; a second call is harmless. */
static inline void
list_del(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

/* Takes the first node off a list that is not empty. */
static inline struct list *
list_take_first(struct list *head)
{
    struct list *node = head->next;

    head->next = node->next;
    node->next->prev = head;
    list_init(node);
    return node;
}

#define list_first(head, type, member) container_of((head)->next, type, member)

#define list_for_each(pos, head, type, member)                                                     \
    for (type *pos = container_of((head)->next, type, member); &pos->member != (head);             \
         pos = container_of(pos->member.next, type, member))

/* The current node may be deleted by the body; its successor may not. */
#define list_for_each_safe(pos, head, type, member)                                                \
    for (type *pos = container_of((head)->next, type, member),                                     \
              *pos##_next = container_of(pos->member.next, type, member);                          \
         &pos->member != (head);                                                                   \
         pos = pos##_next, pos##_next = container_of(pos->member.next, type, member))

/* ---- lists with one link per node, of somebody else's ---- */

#define LIST_LINK_AT(node, next) (*(void **)((char *)(node) + (next)))

/* Of a list that runs in a circle the link that closes it; NULL: the list ends. next: offset of the
 * link in a node. (Floyd's tortoise and hare: two pointers of memory.) */
static inline void **
list_circle(void *head, size_t next)
{
    void *slow = head, *fast = head, **last;

    do {
        fast = fast ? LIST_LINK_AT(fast, next) : NULL;
        fast = fast ? LIST_LINK_AT(fast, next) : NULL;
        slow = slow ? LIST_LINK_AT(slow, next) : NULL;
    } while (fast && fast != slow);
    if (!fast)
        return NULL;
    for (slow = head; slow != fast; slow = LIST_LINK_AT(slow, next))
        fast = LIST_LINK_AT(fast, next);
    for (last = &LIST_LINK_AT(slow, next); *last != slow; last = &LIST_LINK_AT(*last, next))
        continue;
    return last;
}

#endif
