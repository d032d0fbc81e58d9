/* What module_test.c opens. */
#define EXPORT __attribute__((visibility("default")))

int module_value(void) EXPORT;
int module_hidden(void);
int module_data EXPORT = 7;

#if defined(NEEDS)
int module_test_offers(int value); /* of the test program */

int
module_value(void)
{
    return module_test_offers(1);
}
#elif defined(BROKEN)
int module_wants_this(void);
int module_wants_that(void);

int
module_value(void)
{
    return module_wants_this() + module_wants_that();
}
#else
int
module_value(void)
{
    return ++module_data;
}
#endif

int
module_hidden(void)
{
    return 0;
}
