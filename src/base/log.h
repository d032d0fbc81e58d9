/* One line per event, to one sink. Formatting costs nothing below the level in force. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Receives each finished line, without a newline. Thread: any that logs. */
typedef void (*log_sink_fn)(enum log_level level, const char *line, void *arg);

/* Default: LOG_WARN, standard error. sink NULL restores the default sink. */
void log_set_level(enum log_level level);
void log_set_sink(log_sink_fn sink, void *arg);

extern enum log_level log_level_now;

void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_at(level, ...)                                                                         \
    do {                                                                                           \
        if ((level) <= log_level_now)                                                              \
            log_line((level), __VA_ARGS__);                                                        \
    } while (0)
#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)
#define log_warn(...) log_at(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)

#endif
