/* Answers of the daemon for people to read, in the style of ss(8) and ip(8). Each prints whole
 * lines to stdout. */
#ifndef PROGRAMS_PRINT_H
#define PROGRAMS_PRINT_H

#include <jansson.h>

void print_status(json_t *status);
void print_floor(json_t *floor);
void print_member(json_t *member);
/* One line; a heading before the first (number 0). */
void print_conn_line(json_t *conn, unsigned number);
void print_conn_details(json_t *conn);
void print_move(json_t *move);
/* A move that concerns no connection, but what was asked for. */
void print_no_move(json_t *move, const char *what);

#endif
